package dashboards

func overview() Dashboard {
	return Dashboard{UID: "neuronx-overview", Title: "NeuronX / Overview", Help: "Whether the engine is well, and where events wait if it is not.", Rows: []Row{
		{"Health", []Panel{
			{Title: "Processes up", Kind: Stat, Unit: number, Help: "Processes that answer scrapes.", Queries: q(`sum(up{job="neuronx",SEL})`, "")},
			{Title: "Processes down", Kind: Stat, Unit: number, Bad: 1, Help: "Processes that do not answer scrapes.", Queries: q(`count(up{job="neuronx",SEL} == 0) or vector(0)`, "")},
			{Title: "Components not ready", Kind: Stat, Unit: number, Bad: 1, Help: "Parts of processes that wait for Kafka, Postgres, the registry or a part of their own.",
				Queries: q(`count(neuronx_ready{SEL} == 0) or vector(0)`, "")},
			{Title: "Longest wait", Kind: Stat, Unit: seconds, Warn: 5, Bad: 20, Help: "How long a process has waited for what it depends on; 0 when nothing is waited for.",
				Queries: q(`max(neuronx_waiting_seconds{SEL})`, "")},
			{Title: "Stalled tenants", Kind: Stat, Unit: number, Bad: 1, Help: "Tenants that wait in some consumer at an event that cannot be applied.",
				Queries: q(`sum(neuronx_consumer_tenants{state="stalled",SEL})`, "")},
			{Title: "Alerts firing", Kind: Stat, Unit: number, Warn: 1, Bad: 1, Help: "Alerts of deploy/observability/alerts.yml that fire now.",
				Queries: q(`count(ALERTS{alertstate="firing",alertname=~"NeuronX.*"}) or vector(0)`, "")},
			{Title: "Firing alerts", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "What each alert is about. docs/operations.md has a section for each.",
				Queries: q(`ALERTS{alertstate="firing",alertname=~"NeuronX.*"}`, "")},
			{Title: "What is waited for", Kind: Table, Unit: seconds, EmptyWhenHealthy: true, Help: "Components that are not fine, by process, and for how long.",
				Queries: q(`neuronx_waiting_seconds{SEL} > 0`, "")},
		}},
		{"Flow of events", []Panel{
			{Title: "Admitted", Unit: perSecond, Help: "Records of ingress by what the sequencer decided. Most should be recorded.", Queries: q(rate("outcome", "neuronx_admission_records_total", ""), "{{outcome}}")},
			{Title: "Applied", Unit: perSecond, Help: "Events of the log that each consumer applied.", Queries: q(rate("service", "neuronx_events_consumed_total", `outcome="applied"`), "{{service}}")},
			{Title: "Refused", Unit: perSecond, EmptyWhenHealthy: true, Help: "Events refused at admission, by reason. Each is a dead letter.",
				Queries: q(rate("reason", "neuronx_admission_records_total", `outcome="refused"`), "{{reason}}")},
			{Title: "Lag", Unit: number, Warn: 1000, Bad: 10000, Help: "Records that consumers have not handled yet.", Queries: q(`sum by (service, topic) (neuronx_consumer_lag_records{SEL})`, "{{service}} {{topic}}")},
			{Title: "Age of the lag", Unit: seconds, Warn: 30, Bad: 120, Help: "Age of the oldest record to be handled next; 0 when there is none.", Queries: q(`max by (service) (neuronx_consumer_lag_seconds{SEL})`, "{{service}}")},
			{Title: "Outbox", Unit: number, Help: "Derived events that have not come back from the log, by deriver.", Queries: q(`sum by (deriver) (neuronx_outbox_pending{SEL})`, "{{deriver}}")},
		}},
		{"Processes", []Panel{
			{Title: "CPU", Unit: number, Help: "Cores in use by process.", Queries: q(`sum by (service, instance) (rate(process_cpu_seconds_total{job="neuronx",SEL}[$__rate_interval]))`, "{{service}} {{instance}}")},
			{Title: "Memory", Unit: unitBytes, Help: "Resident memory by process.", Queries: q(`process_resident_memory_bytes{job="neuronx",SEL}`, "{{service}} {{instance}}")},
			{Title: "Share of the memory limit", Unit: share, Warn: 0.8, Bad: 0.95, EmptyWhenHealthy: true, Help: "Resident memory over GOMEMLIMIT, where one is set.",
				Queries: q(`process_resident_memory_bytes{job="neuronx",SEL} / (go_gc_gomemlimit_bytes{job="neuronx",SEL} < 1e15)`, "{{service}} {{instance}}")},
			{Title: "Goroutines", Unit: number, Help: "A number that only grows is a leak.", Queries: q(`go_goroutines{job="neuronx",SEL}`, "{{service}} {{instance}}")},
			{Title: "Open files", Unit: number, Help: "Files and sockets by process.", Queries: q(`process_open_fds{job="neuronx",SEL}`, "{{service}} {{instance}}")},
			{Title: "Uptime", Unit: seconds, Help: "Time since each process started; a saw is a process that dies again and again.", Queries: q(`time() - process_start_time_seconds{job="neuronx",SEL}`, "{{service}} {{instance}}")},
			{Title: "Versions", Kind: Table, Unit: number, Help: "Which version runs where.", Queries: q(`neuronx_build_info{SEL}`, "")},
		}},
	}}
}
