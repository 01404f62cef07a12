// Package backtest says what other rules would have done. Two timelines, one with the rules that are in force and one with those that are
// tried, start from the same recorded state and meet the same recorded facts; what they decide differently is the report.
//
//	archive ─▶ before from: folded as recorded ─▶ both timelines publish their rules ─▶ facts from outside ─▶ decisions, compared ─▶ Report
//
// A timeline is the fold of the service in memory (rules.Timeline) on a clock of its own. Facts come at their recorded time. What a timeline derives
// comes back 150 ms after its cause, its timers fire at their due, and its commands end as Outcomes says: nothing recorded answers it, because
// that answered what the rules of then did. Nothing here reaches anything: the package may not import Kafka or an outbox.
//
// How it fails: an error is the archive's, the registry's or the context's, or one of Errors below, such as a range without facts. What rules do
// wrong is in the report. The hourly rates by which the sequencer ends storms are not simulated; hops are.
package backtest
