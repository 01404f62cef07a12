// Package effect is the pure core of the adapter: what kinds of effect there are, what is to be done with one now (Next), how a
// command becomes requests (Calls), what an answer means (Classify) and what it tells of the account's limits (ReadLimits). No I/O.
//
// What is authoritative: the tables in classify.go, taken from what is known of the vendor's API v2; where nothing is known, the
// safer reading was chosen, which for an effect of class once is always "unknown, ask a person".
//
// How it fails: it doesn't; an answer that fits no rule is retried for a repeatable effect and unknown for a once effect.
package effect
