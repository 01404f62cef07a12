package dashboards

func rules() Dashboard {
	return Dashboard{UID: "neuronx-rules", Title: "NeuronX / Rules", Help: "Rules, their budgets and failures, and the outbox through which derived events reach the log.", Rows: []Row{
		{"Evaluation", []Panel{
			{Title: "Events and rules", Unit: perSecond, Help: "Events that some rule listens to, rules whose condition held, and events derived.", Queries: []Query{
				{rate("service", "neuronx_rules_evaluated_total", ""), "evaluated"}, {rate("service", "neuronx_rules_fired_total", ""), "fired"}, {rate("service", "neuronx_rules_derived_total", ""), "derived"}}},
			{Title: "Failures", Unit: perSecond, Warn: 0.1, Help: "Rules that failed on an event, and bundles that could not be used. Five in a row, about different subjects, turn a rule off, unless it ran into a budget.", Queries: q(rate("service", "neuronx_rules_failed_total", ""), "failed")},
			{Title: "Bundles taken into force", Unit: number, Help: "Sets of rules published, since the process started.", Queries: q(`sum by (service) (neuronx_rules_published_total{SEL})`, "published")},
			{Title: "Rules that are off", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "Tripped rules with tenant and reason. neuronx rules reset turns one on again.", Queries: q(`neuronx_rules_tripped{SEL} > 0`, "")},
			{Title: "Over budget", Unit: perSecond, EmptyWhenHealthy: true, Help: "Rules that failed on an event because they ran into a budget, by its name. neuronx rules health lists them.", Queries: q(rate("budget", "neuronx_rules_over_budget_total", ""), "{{budget}}")},
			{Title: "Set aside", Kind: Stat, Unit: number, Bad: 1, Help: "Tenants set aside because one evaluation took too long, since the process started. Any is an alert; neuronx stalled list names them.",
				Queries: q(`sum(neuronx_rules_set_aside_total{SEL})`, "")},
			{Title: "Cost of an event", Unit: number, Help: "Cost units that the rules of a tenant spent on one event.", Queries: quantiles("", "neuronx_rules_evaluation_cost", "")},
			{Title: "Postponed", Unit: perSecond, Help: "Runs of a tenant's events that ended early because they had used up their share of a batch; the rest is applied by the tenant's catch-up.",
				Queries: q(rate("service", "neuronx_rules_postponed_total", ""), "postponed")},
			{Title: "Storms", Unit: number, Help: "Derived events refused as a storm, since the process started.", Queries: q(`sum by (service) (neuronx_rules_storms_total{SEL})`, "storms")},
			{Title: "Refused derived events", Unit: perSecond, EmptyWhenHealthy: true, Help: "Derived events found among the dead letters, by code.", Queries: q(rate("code", "neuronx_rules_refused_total", ""), "{{code}}")},
			{Title: "Lag", Unit: number, Warn: 1000, Bad: 10000, Help: "Records that the rules service has not handled yet.", Queries: q(`sum by (topic) (neuronx_consumer_lag_records{service="rules",instance=~"$instance"})`, "{{topic}}")},
		}},
		{"Workflows", []Panel{
			{Title: "Instances in an incident", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "Instances that wait for a person, by tenant and workflow. neuronx workflows list with --state incident shows what failed.", Queries: q(`neuronx_workflows_incidents{SEL} > 0`, "")},
			{Title: "Overdue timers", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "Timers that should have fired ten minutes ago, by tenant and workflow. Any is an alert.", Queries: q(`neuronx_workflows_overdue_timers{SEL} > 0`, "")},
			{Title: "Workflows that are off", Kind: Table, Unit: number, EmptyWhenHealthy: true, Help: "Tripped workflows with tenant and reason. neuronx rules reset turns one on again.", Queries: q(`neuronx_workflows_tripped{SEL} > 0`, "")},
		}},
		{"Outbox", []Panel{
			{Title: "Stored, sent, seen", Unit: perSecond, Help: "Derived events by deriver: stored in the outbox, acknowledged by Kafka, seen in the log. The three should be equal.", Queries: []Query{
				{rate("deriver", "neuronx_outbox_added_total", ""), "stored {{deriver}}"}, {rate("deriver", "neuronx_outbox_sent_total", ""), "sent {{deriver}}"}, {rate("deriver", "neuronx_outbox_seen_total", ""), "seen {{deriver}}"}}},
			{Title: "Waiting", Unit: number, Help: "Rows that have not been seen in the log.", Queries: q(`sum by (deriver) (neuronx_outbox_pending{SEL})`, "{{deriver}}")},
			{Title: "Oldest", Unit: seconds, Warn: 30, Bad: 300, Help: "Age of the oldest row.", Queries: q(`max by (deriver) (neuronx_outbox_oldest_seconds{SEL})`, "{{deriver}}")},
			{Title: "Sent again and failed", Unit: perSecond, Help: "Times that a tenant's rows were sent again because they were not seen for a while, and rows that could not be sent.", Queries: []Query{
				{rate("deriver", "neuronx_outbox_resent_total", ""), "again {{deriver}}"}, {rate("deriver", "neuronx_outbox_send_failures_total", ""), "failed {{deriver}}"}}},
			{Title: "Conflicts and forbidden rows", Unit: number, Bad: 1, Help: "Other events under a number of this deriver, and rows that it may not send, since the process started. All should be 0.", Queries: []Query{
				{`sum by (deriver) (neuronx_outbox_conflicts_total{SEL})`, "conflicts {{deriver}}"}, {`sum by (deriver) (neuronx_outbox_forbidden_total{SEL})`, "forbidden {{deriver}}"}}},
		}},
	}}
}
