// Package status asks every part of an engine how it does: the processes at their admin ports, Kafka about the groups, Postgres
// about tenants, rules, effects, outboxes and dead letters. Read answers with an Overview, which names what could not be asked
// (Problems) apart from what a person should look at (Wrong).
//
// What is nil in an Overview could not be asked; what is empty was asked, and there is none. Each part has a time limit of its
// own, so that one that is away leaves time for the others. Nothing is changed.
package status
