// Package workflowadmin is what operators ask of a tenant's workflows and do to them: list instances and show one, retry and skip what failed,
// cancel, suspend and resume instances, pause and unpause whole workflows.
//
// What is authoritative: the tenant's stream. Each verb is an event in it, one for each instance, and the rules service does it or refuses it
// when it reads that event: a verb here waits for that, and says what became of each. What a dry run foresees is by the tables as they are now;
// an instance may have moved on by the time the event is read.
//
// Values that come from personal fields are shown only where a person asks for them.
package workflowadmin
