// Package hostile plays a tenant that tries to stop the others, and measures what another tenant notices of it.
//
// A Neighbour sends leads at a steady rate over HTTP and times each from its first POST to its row in read.leads. An Attacker has an API
// key and may have rule files published. What it tries is made here: bodies that stall in the middle (Stall), bodies that are costly to
// refuse (Unknown), rule files that are cheap to publish and costly to evaluate (Attacks, Corpus).
//
// What is authoritative: the history of what both sent, which the checker holds against the log.
package hostile
