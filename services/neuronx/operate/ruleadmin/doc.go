// Package ruleadmin is what operators ask of a tenant's rules and do to them: check files, publish a set, show what is in force and how rules
// do, turn a rule on again, run rules over the events that they missed.
//
// What is authoritative: the tenant's stream. A publication, a reset and a rerun are events in it, and the rules service judges each when it
// reads it: a verb here waits for that judgement, and reports a refusal. The tables that are read are the rules service's own.
package ruleadmin
