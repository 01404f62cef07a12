// Package deadletters is what operators ask of refused events and decide about them: list, count and show them; retry, edit or drop them.
//
// What is authoritative: the archiver. A decision is asked for in its tables, it looks at the letter again and decides, and the log shows what
// became of an event that was sent again. Foresee says what it would decide, Act asks and waits.
package deadletters
