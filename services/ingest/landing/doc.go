// Package landing forwards what tenants produce under their own Kafka credentials to ingress.
//
//	neuronx.ingress.acme ──┐
//	neuronx.ingress.beta ──┼─> decide ─> fair pick, within each tenant's rate ─> one transaction ─> neuronx.ingress ─> sequencer
//	neuronx.ingress.…    ──┘                                          (records and landing offsets)
//
// # What is authoritative
//
// The topic's name says whose a record is; neither its key nor any header does, and no signature on it counts, ours neither: it could
// only be a replayed one. What was forwarded is what the group neuronx.landing has committed for a landing topic, under our metadata
// "nx1:<slot>:<group>:<offset>:<topic id>", in the transaction that wrote it to ingress. An offset without that mark was set by an operator, lost, or is
// of an earlier topic of that name: then the topic's beginning counts, which trimming keeps at most ten minutes behind, and what is
// forwarded a second time is dropped as a duplicate by its id. So no reset of the group doubles or loses anything.
//
// # Who forwards which topic
//
// The members of the group share out the partitions of neuronx.ingress, and the one that has the partition of a tenant forwards that tenant's
// topic. Topics come and go with tenants; a subscription to each would rebalance the group each time. Their offsets are fenced by the
// group's generation all the same (txn.Session.CommitExtra). Topics are learnt from metadata every five seconds, by their names.
//
// # A topic
//
//	learnt ──> opening (its offset, once no transaction holds it) ──> forwarded ──> stopped: records would be passed over
//	   ^                                                                 │              (trimmed by another, truncated)
//	   └── partition given away, topic gone or recreated, session failed ┘
//
// # How it fails
//
//   - A transaction that is not confirmed ends the session; everything read is dropped and read again from what is committed.
//   - A forwarder that dies in a transaction holds up the readers of ingress until the transaction times out (10 s), or until it is back
//     under its slot; neuronx_ingress_last_stable_age_seconds of the sequencer shows it.
//   - A transaction that a producer leaves open ends what is read of its own topic only (neuronx_landing_blocked_topics).
//   - A tenant over its rate, or faster than its share, waits in its own topic: only that topic is paused.
//   - What can't be let through (another tenant's key, too large, unreadable) goes to ingress in a form that the sequencer refuses, so
//     that the sequencer alone writes dead letters and counts.
package landing
