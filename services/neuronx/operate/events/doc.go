// Package events is what operators ask of the log and its archive: List, Get and Trace read the archive, Tail follows the log itself.
//
// What is authoritative: the log. The archive follows it by a moment; Env.NoteBehind says when it is further behind than that. An event
// that can't be decoded is shown without its data and with the reason, as it must not hide the others.
package events
