package kafka

// Topics of the engine. They are declared in topics.yaml, and only provisioning creates them.
const (
	TopicIngress    = "neuronx.ingress"
	TopicEvents     = "neuronx.events"
	TopicDeadLetter = "neuronx.deadletter"
	TopicReceipts   = "neuronx.receipts"
	TopicState      = "neuronx.sequencer.state"
	TopicSchemas    = "_schemas"
)

// Consumer groups of the engine.
const (
	GroupSequencer   = "neuronx.sequencer"
	GroupRules       = "neuronx.rules"
	GroupProjector   = "neuronx.projector"
	GroupArchiver    = "neuronx.archiver"
	GroupGoHighLevel = "neuronx.gohighlevel"
)

// Groups lists the engine's consumer groups, in the order in which events flow through them.
func Groups() []string {
	return []string{GroupSequencer, GroupArchiver, GroupProjector, GroupRules, GroupGoHighLevel}
}
