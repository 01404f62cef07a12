// Package timers fires the durable timers of workflows: it turns rows of neuronx.timers that are due into timer.fired events, under numbers of the
// deriver timers.
//
//	armed ── due: row and outbox row in one transaction ─▶ firing ── the fold reads timer.fired ─▶ row deleted
//	  ▲                                                      │
//	  └────────── too early, refused, or lost: held ─────────┘
//
// Authoritative is the log: the fold decides by its order alone whether a firing counts, and a row that the fold has deleted makes a late firing
// stale. Two clocks must agree that a timer is due before it is fired, this process's and Postgres's; the broker's decides whether it was. What the
// events that were read tell of the broker's clock is enough, too (Clock), so that neither of the other two makes timers late when it is behind.
//
// How it fails: a process that dies between fires nothing twice, because the row says firing exactly if the outbox has the event. A database that
// was restored says armed of what had fired, so nothing fires until the log was read to its end (Gate). A firing that is in neither the outbox nor
// the log is fired again after five minutes (Sweep). A firing that is refused ten times is told to the instance, as an incident of the task that waits. A clock that runs ahead makes early firings, which are held, and pauses this process. What
// is overdue waits in its table, oldest first, and only a bounded number is on its way, so that a herd does not stand before everybody's events.
// No tenant holds back another: what one has on its way that is suspended, set aside or catching up takes no other's room, and one whose timers can't be
// fired is tried again later, longer each time.
package timers
