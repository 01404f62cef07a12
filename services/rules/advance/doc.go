// Package advance moves an instance of a workflow: a state machine that one pure function, Advance, advances by the events of its tenant.
// It has no clock, no random source and no I/O, and walks maps in order, so the same instance, event and environment give the same
// result, to the byte, on any machine. The log, and what is committed with it, decides when it is called.
//
//	start ─▶ waiting ── timer, event, outcome, verb ─▶ waiting         waiting ◀─ resume ── suspended ◀─ suspend ── waiting
//	waiting ── last task, until completed ─▶ completed                  any ── until cancelled, timeout, replaced, cancel ─▶ cancelled
//	waiting ── uncaught error ─▶ incident ── retry, skip ─▶ waiting     waiting ── uncaught raise ─▶ faulted
//
// An instance is a set of tokens, each before a task or resting at one. Tokens run by id, each until it rests. What ended never moves again.
//
// How it fails: a task's error goes to the innermost try that catches it. One that nobody catches is an incident: the token stands
// before its task with its timer and its ears off, other tokens go on, and until still ends the instance, so a lead who booked is
// not chased while somebody repairs a file. An until whose condition can't be evaluated holds the whole instance, because a goal that can't be
// seen must not be taken for one that was not reached. What the file does wrong is in Result; the error of Advance is only the machine's.
//
// More than fifteen files: each is a kind of task or of stimulus, and all are steps of one machine, which a package of its own could not share.
package advance
