// Package rules is the service that reads the log, evaluates each tenant's rules on it, and derives events from what they say.
//
//	neuronx.events ─▶ consumer ─▶ Evaluate ─▶ one Postgres transaction ─▶ outbox sender ─▶ neuronx.ingress
//	neuronx.deadletter ─▶   │                 progress, rule state,
//	                        └ rules.published  health, outbox rows
//	                          switches the set
//
// Authoritative are the log and what is folded from it in Postgres: neuronx.rule_bundles (which set of rules was in force from which
// sequence on), neuronx.rule_state (what rules set per tenant and subject), neuronx.rule_health (failures in a row, trips) and
// neuronx.rule_missed_pages (what rules were not evaluated on because they were off, until an engine.rule.rerun runs them over it).
// Evaluate is pure over the event, its data, that state, the bundle and the schemas: no clock, no random source, no look-up. So
// the same log gives the same derived events, with the same ids and bytes; Reset proves it by deriving everything again from the
// archive and comparing. Sandbox is the same fold over memory, for tests of rules.
//
// # How it fails
//
//   - A rule fails on an event (a missing key, a division by zero, data that does not fit the schema): nothing of that rule and event
//     happens, the other rules and the tenant go on. It never trips, and engine.rule.failed comes once and then every reportEvery events.
//   - A rule fails whatever the event holds (a constant that fails, a type without a schema, rules that feed each other): the same, but
//     engine.rule.failed comes each time. After FailureLimit failures in a row, on different subjects, it says tripped, and when that is
//     seen in the log, the rule is off for the tenant until engine.rule.reset. What it misses meanwhile is kept.
//   - A rule runs into a budget (budget.go), or reads a field that is too large: the same, but it never trips, and the report comes once
//     and then every reportEvery events. Budgets are counted in units and bytes, so that a replay cuts at the same point.
//   - A tenant's events are expensive, or its bundle is large and not compiled: a batch gives up early, and nothing of that event is kept.
//     The tenant's catch-up compiles and evaluates (Prepare) while no batch waits, and then writes. What is derived is the same.
//   - An evaluation takes longer than EventDeadline although it is within its budgets, twice: no outcome, because that depends on the
//     machine. The tenant is set aside before the event, alone and with the rule's name; retry or skip brings it back.
//   - A published bundle that does not compile: the set in force stays, engine.rule.failed of the rule "*" says why.
//   - A loop of rules: the sequencer refuses the event of hop 17 as a storm. The rule that derived it is named in
//     engine.storm.detected, and tripped when that is seen in the log. Trips take effect at sequences of the log and nowhere else.
//   - Postgres, Kafka or the registry away: the batch rolls back and is tried again; nothing is ever dead-lettered for it.
//   - A workflow: packages advance and workflows say what becomes of an instance, workflowstore what of its rows. An event that costs its workflows more than
//     a batch may wait for is left for the catch-up, whole.
//   - A timer that fires too early, is refused or is lost: package timers.
//   - A bundle of newer semantics than this build knows: the tenant stalls until a process of a newer build has its partition.
//
// More than fifteen files: an evaluation, its budgets, its state and the tables behind it are written in one transaction of one handler; what needs none of
// that is in ruleset and pkg/expr.
package rules
