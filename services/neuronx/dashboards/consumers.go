package dashboards

func consumers() Dashboard {
	return Dashboard{UID: "neuronx-consumers", Title: "NeuronX / Consumers and replay", Help: "What reads the log: projector, archiver, rules and adapters, their lag, stalls and replays.", Rows: []Row{
		{"Reading", []Panel{
			{Title: "Events by outcome", Unit: perSecond, Help: "What became of events: applied, duplicate, passed (their tenant is stalled or catching up), unreadable.", Queries: q(rate("service, outcome", "neuronx_events_consumed_total", ""), "{{service}} {{outcome}}")},
			{Title: "Lag", Unit: number, Warn: 1000, Bad: 10000, Help: "Records not handled yet, by topic.", Queries: q(`sum by (service, topic) (neuronx_consumer_lag_records{SEL})`, "{{service}} {{topic}}")},
			{Title: "Age of the lag", Unit: seconds, Warn: 30, Bad: 120, Help: "Age of the record to be handled next, of the partition that is furthest behind; 0 when there is none.", Queries: q(`max by (service, topic) (neuronx_consumer_lag_seconds{SEL})`, "{{service}} {{topic}}")},
			{Title: "Newest applied event", Unit: seconds, Help: "Time since the newest applied event was recorded. It grows while no events come: only together with lag is that a problem.", Queries: q(`min by (service) (time() - (neuronx_consumer_applied_timestamp_seconds{SEL} > 0))`, "{{service}}")},
			{Title: "Time of a batch", Unit: seconds, Warn: 1, Bad: 5, Help: "Time to write one batch, retries included.", Queries: quantiles("service", "neuronx_consumer_batch_seconds", "{{service}}")},
			{Title: "Retries and takeovers", Unit: perSecond, Help: "Batches that rolled back and were tried again, and batches dropped because another member had the partition.", Queries: []Query{
				{rate("service", "neuronx_consumer_batch_retries_total", ""), "retries {{service}}"}, {rate("service", "neuronx_consumer_takeovers_total", ""), "takeovers {{service}}"}}},
		}},
		{"Tenants and partitions", []Panel{
			{Title: "Tenants that are not live", Unit: number, Help: "Tenants that are stalled or catching up, by service and feed.", Queries: q(`sum by (service, feed, state) (neuronx_consumer_tenants{SEL})`, "{{service}} {{feed}} {{state}}")},
			{Title: "Stalled tenants", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "Which tenants are stalled, and where. neuronx stalled list has the event and the error.", Queries: q(`neuronx_consumer_stalled{SEL} > 0`, "")},
			{Title: "Stopped partitions", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "Partitions that are assigned and not read, because records would be skipped.", Queries: q(`neuronx_consumer_partition_stopped{SEL} > 0`, "")},
			{Title: "Events that left a table unchanged", Unit: perSecond, EmptyWhenHealthy: true, Help: "Events that a table left out, or took without one of their values, because they do not fit.", Queries: q(rate("projection, reason", "neuronx_projection_untouched_total", ""), "{{projection}} {{reason}}")},
		}},
		{"Archive", []Panel{
			{Title: "Archived", Unit: perSecond, Help: "Events written to the archive.", Queries: q(rate("service", "neuronx_archive_events_written_total", ""), "events")},
			{Title: "Stored", Unit: byteRate, Help: "Bytes of these events as they are stored.", Queries: q(rate("service", "neuronx_archive_stored_bytes_total", ""), "bytes")},
			{Title: "Dead letters", Unit: perSecond, EmptyWhenHealthy: true, Help: "Dead letters kept, by reason.", Queries: q(rate("reason", "neuronx_archive_dead_letters_total", ""), "{{reason}}")},
			{Title: "Conflicts and differences", Unit: number, Bad: 1, Help: "Rows that exist with other bytes, and differences that audits found, since the process started. All should be 0.", Queries: []Query{
				{`sum by (service) (neuronx_archive_conflicts_total{SEL})`, "conflicts"}, {`sum by (service) (neuronx_archive_differences_total{SEL})`, "differences"}}},
			{Title: "Not rendered", Unit: perSecond, Help: "Events archived without the data column, because their body cannot be rendered.", Queries: q(rate("service", "neuronx_archive_unrendered_total", ""), "events")},
		}},
		{"Replay", []Panel{
			{Title: "Generations built", Unit: number, EmptyWhenHealthy: true, Help: "Rebuilds of tenants that ended in the last hour, by how. Empty also when there is no replay.", Queries: q(`sum by (service, outcome) (increase(neuronx_consumer_generation_builds_total{SEL}[1h]))`, "{{service}} {{outcome}}")},
			{Title: "Resets", Unit: number, EmptyWhenHealthy: true, Help: "Resets by operators that ended in the last hour, by how. Empty also when there is no reset.", Queries: q(`sum by (service, outcome) (increase(neuronx_consumer_resets_total{SEL}[1h]))`, "{{service}} {{outcome}}")},
			{Title: "Compared", Unit: perSecond, Help: "Records and derived events that resets compared with archive and log.", Queries: []Query{
				{rate("service", "neuronx_archive_audited_total", ""), "archive"}, {rate("service", "neuronx_rules_compared_total", ""), "rules"}}},
			{Title: "Differences of rules", Unit: number, Bad: 1, Help: "Derived events that a comparison found different, since the process started. Any is an alert.", Queries: q(`sum by (service) (neuronx_rules_differences_total{SEL})`, "{{service}}")},
			{Title: "Offsets set back", Unit: number, Help: "Offsets of the groups of the sequencer and of the forwarder that somebody set and that were not followed, since the process started.", Queries: []Query{
				{`sum(neuronx_sequencer_resets_undone_total{SEL})`, "sequencer"}, {`sum(neuronx_landing_resets_undone_total{SEL})`, "landing"}}},
		}},
	}}
}
