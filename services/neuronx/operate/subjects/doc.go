// Package subjects merges two subjects of a tenant that are one, such as two leads who are the same person, and takes a merge back.
//
// What is authoritative: the tenant's stream. A merge is an event in it, and the rules service decides at that event whether it can be, by the
// merges that stand there. A verb here looks first, so that what can't be is refused before anything is published, waits for the rules
// service, and then tells what it found: a merge may have come between. A subject that no archived event is about is taken for a mistake.
package subjects
