// Package gohighlevel is the adapter for GoHighLevel: how commands become requests to its API v2 (calls.go, contacts.go), in which order they are
// sent (adapter.go), what an answer means (answers.go), which contact is a lead's (match.go) and what an answer tells of the account's limits
// (limits.go). It is pure.
//
// What is authoritative: the table in answers.go, taken from what is known of the vendor's API; where nothing is known, the safer reading was
// chosen, which for an effect of class once is always "unknown, ask a person".
//
// How it fails: it doesn't; an answer that fits no rule is retried for a repeatable effect and unknown for a once effect.
package gohighlevel
