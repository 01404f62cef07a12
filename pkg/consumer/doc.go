// Package consumer is the one loop by which the archiver, the projector, the rules and the adapters read the log.
//
// Authoritative is Postgres. Two kinds of rows say how far a consumer is, and both move by compare-and-set in the transaction
// that writes the consumer's data:
//
//	neuronx.progress            (consumer, generation, tenant)           -> sequence, event id, log id, state
//	neuronx.partition_progress  (consumer, generation, topic, partition) -> topic id, log id, next offset
//
// The offset of the Kafka group follows them, is committed after the transaction, and is read for one purpose only: a committed
// offset whose metadata does not name it and its group (kafka.CommitMark) was written by an operator's tool. It is a request for the side job of the
// service (ResetHandler). The loop itself goes on from its row, and the next commit puts the group's offset back.
//
// # States of a (generation, tenant)
//
//	              next sequence fits
//	                   ┌────┐
//	                   v    │       sequence missing, not in the archive
//	first event ──>  live ──┴──────────────────────────> catching-up <── a new generation (sequence 0)
//	                   │  ^                                │  │   ^
//	      Apply failed │  └── reached all that was seen ───┘  │   │ operator's retry or skip
//	      log changed  v                                      v   │
//	                stalled <── missing for 10 min: gap ── stalled
//
//	retired: a generation that was replaced; nothing feeds it.
//
// # Definitions
//
// A derivation is named by its consumer, definition, generation and tenant. A handler whose data can be built again from the log names what
// it makes of events (DefinedHandler), and the generation's row carries what built it. Builds register their definitions when they join, so
// each knows whether a newer one has run (Judge).
//
// # Feeds
//
// A consumer may have further feeds (Feed): handlers of the same records with rows of their own, under consumer "<group>.<feed>". All live
// feeds of a tenant move in one transaction, so they stand at the same sequence in every snapshot; what one of them can't apply stalls
// the tenant there alone. The projector keeps what the engine itself reads (tenants, API keys, limits) in the feed control, which no read
// model holds up.
//
// One transaction carries a batch of the log for all tenants in it, with a savepoint a tenant: an event that cannot be applied
// stalls its tenant alone, exactly before that event. What a catching-up generation lacks is read by a second goroutine through
// pkg/stream: from the archive, then from the newest records, which the loop keeps for it, and in the end from the log. Apply is
// never called by two goroutines at once.
//
// # An operator's reset, hop by hop
//
//	a tool commits an offset without the mark       Kafka's own, rpk, `neuronx replay`, after all members have left
//	  │ the next assignment
//	  v
//	session.resume, one transaction                 the row says where to read on, and does not move
//	  └─ noteReset                                  a row in neuronx.resets: requested, once until the offset was put back
//	  │ the next tick                                    │ each PollEvery, at the member that has the partition
//	  v                                                  v
//	the loop commits the row's offset, marked       runResets, outside the loop: running
//	  └─ confirmPutBack: put_back                     ├─ announce       engine.replay.started into each tenant's stream
//	                                                  ├─ ResetHandler   what a reset means to the service
//	                                                  └─ completeReset  engine.replay.completed, with outcome and counts; done or failed
//
// A member that dies on the way leaves the row requested or running, and the next one with the partition does the job again: events of a
// reset have ids of the reset, so a repeat is one.
//
// # Files
//
// The package has more files than others, because everything that moves a row of its tables compares and sets it, and this is checked and
// tested as one: a second package would have to export the moves. SQL on the tables is written here alone (queries.go for those who ask,
// operate.go for operators, rebuilt.go for a log that was rebuilt). The others are, in the order in which a batch passes them:
//
//	consumer.go service.go handler.go       what a service gives and gets; one membership
//	resume.go lineage.go                    where to begin, and in which log
//	decode.go batch.go classify.go          records, runs of a tenant, what a run means to a row; pure but for decode.go
//	process.go part.go transaction.go       the transaction of a batch
//	feed.go skips.go definition.go          further handlers, skipped events, what built a generation
//	catchup.go                              generations that are behind
//	resets.go                               operators' resets
//	rows.go tables.go migrations.go         the rows
//	errors.go metrics.go                    which errors are tried again; what is counted
//
// # How it fails
//
//   - Postgres gone, a deadlock, a registry that does not answer (Transient): the batch rolls back and is tried again with growing
//     pauses; after the budget Run returns the error, the process ends and the next one reads again from the row.
//   - The main feed fails so, and the others don't: the batch is written without it. Its tenants catch up from the archive, which
//     is tried until it works.
//   - Paused beyond a takeover: the compare-and-set of the partition's row fails, nothing is written, the consumer joins again.
//   - The connection breaks at COMMIT: the row is read again and tells which it was.
//   - The topic was recreated (other topic id): Run returns an error that says so. The log was trimmed or truncated under a row: that
//     partition stops (Stopped) until a person decided.
//   - The build is too old for what a tenant published (OtherBuild): the tenant stalls before the event, and is tried again at each assignment of its
//     partition, so an upgraded process goes on with it.
//   - A handler panics: that is an error of the event. Its tenant stalls there, the others go on, and the stack is logged.
//   - The log has another identity (ce_logid), or an applied sequence another event: the tenant stalls as log_changed.
//   - A record of the log that is no event: counted and logged. If an event was lost by it, its sequence is missing, which stalls.
//
// More than fifteen files: the loop, the catch-up and resets work on the same rows in the same transactions, so a package for any of them would have to
// export what must not be called alone.
package consumer
