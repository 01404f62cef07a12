// Command bench measures the engine against raw limits of the same machine, in the same run: `make bench`.
//
// Every job is a number of rounds. A round runs the raw limit and the engine one after the other, in the other order every other
// round, so that what drifts (a warm disk, a busy neighbour) falls on both; a ratio is taken inside a round, and what is reported is
// the median of the rounds. Absolute numbers are those of this machine and are worth nothing elsewhere.
//
//	job             raw limit                                          engine
//	admission       franz-go: consume, produce, acks=all, commit       neuronx-ingest --roles sequencer, on the same records
//	admission_kafka_streams  the same, same records and rounds        a Kafka Streams program, exactly_once_v2 (folder streams)
//	admission_p50   franz-go: produce to visible, 200 events/s         produced to ingress, to visible committed in the log
//	archive         COPY of the same rows, one connection              neuronx-archiver, Kafka to committed rows
//	http_single     net/http + franz-go producing the same records     neuronx-ingest --roles http, one event a request
//	http_batch_json the same, 100 events a request                     the same, 100 events a request
//	fairness_http   200 events/s of 50 tenants, alone                  the same during a flood of a tenant at 100 times its quota
//	fairness_landing  the same of 20 tenants' landing topics           the same, through neuronx-ingest --roles landing,sequencer
//	backtest        reading the same events, decoding each once        neuronx rules backtest of the demo's rules over 100,000 facts, in memory
//	end_to_end_p50  none                                               HTTP 202 to a row in read.leads, 200 events/s, whole engine
//	scaling         none: a base of 60,000 events, 50 tenants,         admission of ten times the events, at a hundred times the tenants,
//	                6 partitions                                       at eight times the partitions: the cost of an event
//	scaling_archive the same                                           archiving of the same, at ten times the tenants
//
// The scaling jobs are measured only when they are named, because their rounds take a minute or more.
//
// The services are the real ones, each its own process (e2e/cluster). It needs a Kafka that it may empty:
// NEURONX_TEST_KAFKA_BROKERS names it; without it, it starts kfake in its own process and says so, because a stand-in's numbers are
// not comparable with Kafka's. Postgres is its own, with fsync.
//
// A flood is made by a process of its own, at nice 19, so that making it does not take the cores from what is measured.
//
// How it fails: a round in which not every event arrived, or one was refused, ends the run with an error, and so does one in
// which a flood reached less than half of its rate, or its tenant got less than half or more than 1.2 times its quota; nothing is
// estimated.
//
// More than fifteen files: each job that is measured has a file of its own.
package main
