package dashboards

func crm() Dashboard {
	return Dashboard{UID: "neuronx-crm", Title: "NeuronX / CRM", Help: "What is sent to the tenants' CRMs, what came of it, and what is left of their limits.", Rows: []Row{
		{"Requests", []Panel{
			{Title: "Requests by status", Unit: requests, Help: "Requests to the CRM by status code; none is no answer.", Queries: q(rate("code", "neuronx_crm_requests_total", ""), "{{code}}")},
			{Title: "Requests by endpoint", Unit: requests, Help: "Requests to the CRM by endpoint.", Queries: q(rate("endpoint", "neuronx_crm_requests_total", ""), "{{endpoint}}")},
			{Title: "Duration", Unit: seconds, Warn: 2, Bad: 10, Help: "Time of requests to the CRM.", Queries: quantiles("", "neuronx_crm_request_seconds", "")},
			{Title: "Failed requests", Unit: requests, EmptyWhenHealthy: true, Help: "Requests that the CRM refused (4xx), failed at (5xx) or did not answer (none).", Queries: q(rate("endpoint, code", "neuronx_crm_requests_total", `code!~"2.."`), "{{endpoint}} {{code}}")},
			{Title: "Open breakers", Kind: Stat, Unit: number, Bad: 1, Help: "Tenants to whose CRM nothing is sent, because requests failed repeatedly.", Queries: q(`sum(neuronx_crm_breakers_open{SEL})`, "")},
			{Title: "Refused connections", Kind: Stat, Unit: number, Bad: 1, Help: "Tenants whose effects wait because their CRM refuses the token, or no request can be made with their connection: neuronx doctor.", Queries: q(`sum(max by (reason) (neuronx_crm_paused_tenants{SEL}))`, "")},
			{Title: "Left in the interval", Kind: Stat, Unit: number, Help: "Requests left in the vendor's interval, of the tenant that has least; -1 while no answer told.", Queries: q(`min(neuronx_crm_rate_remaining{SEL})`, "")},
			{Title: "Left today", Kind: Stat, Unit: number, Help: "Requests left today, of the tenant that has least; -1 while no answer told.", Queries: q(`min(neuronx_crm_daily_remaining{SEL})`, "")},
			{Title: "Day runs out in", Kind: Stat, Unit: seconds, Help: "Until the first tenant has only those requests left today that are kept for people; -1 when none will.", Queries: q(`min(neuronx_crm_exhausted_in_seconds{SEL} >= 0) or max(neuronx_crm_exhausted_in_seconds{SEL})`, "")},
			{Title: "Unknown effects", Kind: Stat, Unit: number, Bad: 1, Help: "Effects whose outcome a person has to look up: neuronx effects list --status unknown.", Queries: q(`max(neuronx_effects_unknown{SEL})`, "")},
		}},
		{"Effects", []Panel{
			{Title: "In the ledger", Unit: number, Help: "Effects by status.", Queries: q(`max by (status) (neuronx_effects{SEL})`, "{{status}}")},
			{Title: "Ended", Unit: perSecond, Help: "Attempts and effects by kind and how they ended; pending is another try.", Queries: q(rate("kind, status", "neuronx_effects_ended_total", ""), "{{kind}} {{status}}")},
			{Title: "Failed", Unit: perSecond, EmptyWhenHealthy: true, Help: "Effects that ended as failed or unknown, by kind.", Queries: q(rate("kind, status", "neuronx_effects_ended_total", `status=~"failed|unknown"`), "{{kind}} {{status}}")},
			{Title: "Lag", Unit: number, Warn: 1000, Bad: 10000, Help: "Records that the adapter has not handled yet.", Queries: q(`sum by (topic) (neuronx_consumer_lag_records{service="gohighlevel",instance=~"$instance"})`, "{{topic}}")},
			{Title: "Outcomes waiting", Unit: number, Help: "Outcomes in the adapter's outbox that have not been seen in the log.", Queries: q(`sum by (service) (neuronx_outbox_pending{service="gohighlevel",instance=~"$instance"})`, "{{service}}")},
		}},
	}}
}
