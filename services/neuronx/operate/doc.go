// Package operate holds what an operator can ask of an engine and do to it, as Go functions: no flags, no printing. The edges
// over it parse, call and show: services/neuronx/cli is one, a web console can be the next.
//
// This package has what every query and verb needs: Env, the settings and connections of one operator's session; Principal, who
// acts; Error, what failed, why and what to do next; and Act, which publishes a signed event and waits for the sequencer's
// verdict. The queries and verbs themselves are in packages below it, one a noun. Packages import one way: cli, then
// operate/<noun>, then operate, then pkg.
//
// What is authoritative: the log. A verb that changes something about a tenant publishes a signed event, which records the
// Principal, and waits until it is seen. Queries take no Principal, and neither do verbs that no event records: a retry of a
// stalled tenant, a reset of offsets, a repair of an outbox or of the log. Tables are written by the packages that own them.
package operate
