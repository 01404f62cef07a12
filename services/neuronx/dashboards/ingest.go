package dashboards

func ingest() Dashboard {
	return Dashboard{UID: "neuronx-ingest", Title: "NeuronX / Ingest", Help: "The way of an event from HTTP or a landing topic into the log.", Rows: []Row{
		{"HTTP", []Panel{
			{Title: "Requests", Unit: requests, Help: "HTTP requests by status code.", Queries: q(rate("code", "neuronx_http_requests_total", ""), "{{code}}")},
			{Title: "Duration", Unit: seconds, Warn: 0.5, Bad: 2, Help: "Time from the headers of a request to its answer, by route. Events are acknowledged when all in-sync replicas have them.",
				Queries: quantiles("route", "neuronx_http_request_duration_seconds", "{{route}}")},
			{Title: "Events", Unit: perSecond, Help: "Events by outcome at the HTTP endpoint.", Queries: q(rate("outcome", "neuronx_http_events_total", ""), "{{outcome}}")},
			{Title: "Refused events", Unit: perSecond, EmptyWhenHealthy: true, Help: "Events refused over HTTP, by reason.", Queries: q(rate("reason", "neuronx_http_events_total", `outcome="refused"`), "{{reason}}")},
			{Title: "Answers with 503 and 429", Unit: requests, EmptyWhenHealthy: true, Help: "Requests that a client has to repeat: no room, Kafka away, or over the tenant's rate.",
				Queries: q(rate("code", "neuronx_http_requests_total", `code=~"503|429"`), "{{code}}")},
			{Title: "Memory for bodies", Unit: unitBytes, Help: "Memory that requests in flight have reserved, and how much they may.", Queries: []Query{
				{`sum by (instance) (neuronx_http_body_memory_bytes{SEL})`, "{{instance}}"},
				{`max by (instance) (neuronx_http_body_memory_limit_bytes{SEL})`, "limit {{instance}}"}}},
			{Title: "Refused for memory", Unit: requests, EmptyWhenHealthy: true, Help: "Requests refused for what they would hold in memory, or because their body came too slowly, by tenant.",
				Queries: q(rate("tenant, reason", "neuronx_http_refused_total", ""), "{{tenant}} {{reason}}")},
			{Title: "Refused by tenant", Unit: perSecond, EmptyWhenHealthy: true, Help: "Events and requests refused through a fault in them, or because the tenant is over its rates, by tenant.",
				Queries: q(rate("tenant, reason", "neuronx_http_tenant_refused_total", ""), "{{tenant}} {{reason}}")},
			{Title: "Waits for verdicts", Unit: requests, EmptyWhenHealthy: true, Help: "Requests with Prefer: wait by outcome. Empty also while no client waits.", Queries: q(rate("outcome", "neuronx_http_waits_total", ""), "{{outcome}}")},
			{Title: "Look-ups", Unit: requests, EmptyWhenHealthy: true, Help: "GET /v1/events by where the event was found. Empty also when nothing is looked up.", Queries: q(rate("found", "neuronx_http_lookups_total", ""), "{{found}}")},
			{Title: "In flight", Unit: number, Help: "Records that Kafka has not acknowledged, and events whose verdict a client waits for.", Queries: []Query{
				{`sum by (instance) (neuronx_http_waiting_records{SEL})`, "records {{instance}}"}, {`sum by (instance) (neuronx_http_waiting_verdicts{SEL})`, "verdicts {{instance}}"}}},
			{Title: "Age of tenants and keys", Unit: seconds, Warn: 30, Bad: 60, Help: "Time since the tenants and API keys were last read from Postgres; every 10 s when all is well.",
				Queries: q(`max by (instance) (neuronx_tenant_directory_age_seconds{SEL})`, "{{instance}}")},
		}},
		{"Kafka", []Panel{
			{Title: "Produced", Unit: perSecond, Help: "Records acknowledged by Kafka, by topic.", Queries: q(rate("topic", "neuronx_produced_records_total", `outcome="ok"`), "{{topic}}")},
			{Title: "Time to produce", Unit: seconds, Warn: 0.5, Bad: 2, Help: "Time until all in-sync replicas have a record.", Queries: quantiles("", "neuronx_produce_duration_seconds", "")},
			{Title: "Errors", Unit: perSecond, Bad: 0.1, EmptyWhenHealthy: true, Help: "Records that Kafka did not take, by topic.", Queries: q(rate("topic", "neuronx_produced_records_total", `outcome="error"`), "{{topic}}")},
		}},
		{"Sequencer", []Panel{
			{Title: "Judged", Unit: perSecond, Help: "Records judged in committed transactions, by outcome.", Queries: q(rate("outcome", "neuronx_admission_records_total", ""), "{{outcome}}")},
			{Title: "Transactions", Unit: perSecond, Help: "By outcome. A failed one ends the session, which then begins again.", Queries: q(rate("outcome", "neuronx_sequencer_transactions_total", ""), "{{outcome}}")},
			{Title: "Time of a transaction", Unit: seconds, Warn: 1, Bad: 5, Help: "From the first record judged to the confirmed commit.", Queries: quantiles("", "neuronx_sequencer_transaction_seconds", "")},
			{Title: "Records of a transaction", Unit: number, Help: "How many records share one commit.", Queries: quantiles("", "neuronx_sequencer_transaction_records", "")},
			{Title: "Partitions", Unit: number, Help: "Partitions that each process sequences.", Queries: q(`sum by (instance) (neuronx_sequencer_partitions{SEL})`, "{{instance}}")},
			{Title: "Stopped and paused", Unit: number, Bad: 1, EmptyWhenHealthy: true, Help: "Partitions that are not sequenced, with the reason.", Queries: []Query{
				{`neuronx_sequencer_stopped_partitions{SEL} > 0`, "stopped {{partition}} {{reason}}"}, {`neuronx_sequencer_paused_partitions{SEL} > 0`, "paused {{partition}} {{reason}}"}}},
			{Title: "Open transaction", Unit: seconds, Warn: 15, Bad: 60, Help: "How long the oldest open transaction has held up readers of a topic.", Queries: q(`max by (topic) (neuronx_sequencer_last_stable_age_seconds{SEL})`, "{{topic}}")},
			{Title: "Keys remembered", Unit: unitBytes, Help: "Memory of the idempotency keys by process, and how much they may take.", Queries: []Query{
				{`sum by (instance) (neuronx_sequencer_window_bytes{SEL})`, "{{instance}}"}, {`max by (instance) (neuronx_sequencer_window_limit_bytes{SEL})`, "limit {{instance}}"}}},
			{Title: "Keys", Unit: number, Help: "Idempotency keys remembered by partition.", Queries: q(`max by (partition) (neuronx_sequencer_window_keys{SEL})`, "{{partition}}")},
			{Title: "State since the snapshot", Unit: unitBytes, Help: "What a restore reads besides the snapshot, by partition.", Queries: q(`max by (partition) (neuronx_sequencer_delta_bytes{SEL})`, "{{partition}}")},
			{Title: "Age of the snapshot", Unit: seconds, Help: "By partition. It may grow while no events come.", Queries: q(`min by (partition) (time() - neuronx_sequencer_snapshot_timestamp_seconds{SEL})`, "{{partition}}")},
			{Title: "Last restore", Unit: seconds, Warn: 10, Bad: 30, Help: "How long the last restore of a partition took.", Queries: q(`max by (partition) (neuronx_sequencer_partition_restore_seconds{SEL})`, "{{partition}}")},
			{Title: "Odd records", Unit: perSecond, Help: "Bad signatures, conflicts of derivers, facts over the rate of their subject, and hanging transactions ended. All should be 0.", Queries: []Query{
				{rate("service", "neuronx_admission_bad_signatures_total", ""), "bad signatures"}, {rate("service", "neuronx_admission_deriver_conflicts_total", ""), "deriver conflicts"},
				{rate("service", "neuronx_admission_quiet_facts_total", ""), "quiet facts"}, {rate("service", "neuronx_sequencer_hanging_transactions_ended_total", ""), "hanging transactions"}}},
			{Title: "Misrouting producers", Unit: perSecond, EmptyWhenHealthy: true, Help: "Records in a partition that is not their key's, by tenant and source.", Queries: q(rate("tenant, source", "neuronx_admission_misrouted_total", ""), "{{tenant}} {{source}}")},
			{Title: "Attributes removed", Unit: perSecond, EmptyWhenHealthy: true, Help: "System attributes that a producer set and that do not count.", Queries: []Query{
				{rate("attribute", "neuronx_admission_attributes_stripped_total", ""), "{{attribute}}"}, {rate("attribute", "neuronx_http_ignored_attributes_total", ""), "HTTP {{attribute}}"}}},
		}},
		{"Landing topics", []Panel{
			{Title: "Forwarded", Unit: perSecond, EmptyWhenHealthy: true, Help: "Records of landing topics by outcome. Empty also where no tenant has a topic of its own.", Queries: q(rate("outcome", "neuronx_landing_records_total", ""), "{{outcome}}")},
			{Title: "Behind", Unit: number, Help: "Records of landing topics that are not forwarded.", Queries: q(`sum by (instance) (neuronx_landing_lag_records{SEL})`, "{{instance}}")},
			{Title: "Oldest record", Unit: seconds, Warn: 30, Bad: 120, Help: "Age of the oldest record that is not forwarded.", Queries: q(`max by (instance) (neuronx_landing_oldest_age_seconds{SEL})`, "{{instance}}")},
			{Title: "Topics", Unit: number, Help: "Landing topics of the process, those that wait for their tenant's rate, those blocked by an open transaction, and partitions that are stopped.", Queries: []Query{
				{`sum(neuronx_landing_topics{SEL})`, "all"}, {`sum(neuronx_landing_throttled_topics{SEL})`, "throttled"},
				{`sum(neuronx_landing_blocked_topics{SEL})`, "blocked"}, {`sum(neuronx_landing_stopped_topics{SEL})`, "stopped"}}},
		}},
	}}
}
