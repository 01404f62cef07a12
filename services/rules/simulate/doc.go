// Package simulate runs rules in virtual time: one tenant in memory, with a clock that only a test moves, a log, and the fold of the
// service itself (rules.Sandbox). It sends nothing and reads nothing but schemas. RuleTest files say what comes of events, and Run compares.
//
//	given, event, outcome ─▶ log ─▶ Sandbox.Apply ─▶ derived events ─▶ end of the log, until nothing is left to apply
//
// Derived events come back in the order of the log, with the ids, hops, path and correlation that the service and the sequencer give
// them, at the same instant of virtual time. One of hop 17 is refused as a storm, which trips its rule, as the sequencer does; its
// rates of an hour are not simulated.
//
// How it fails: a file that can't be read is a list of problems with lines; a step where something else comes is a Mismatch; an error is
// one of the machine, such as a registry that does not answer.
package simulate
