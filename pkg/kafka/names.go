package kafka

import (
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

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

// GroupLanding shares out the landing topics among the forwarders. What it commits is explained in services/ingest/landing; it is none of
// Groups, because its offsets are no operator's handle: a reset of it is undone.
const GroupLanding = "neuronx.landing"

// landingPrefix begins the names of the topics to which tenants produce under their own credentials.
const landingPrefix = TopicIngress + "."

// LandingTopic is the topic that takes what one tenant produces under its own credentials.
func LandingTopic(tenant string) string { return landingPrefix + tenant }

// LandingTenant is the tenant of a landing topic; false for every other topic. The name alone says whose the records are.
func LandingTenant(topic string) (tenant string, ok bool) {
	tenant, ok = strings.CutPrefix(topic, landingPrefix)
	return tenant, ok && event.ValidTenant(tenant)
}

// LandingUser is the user under which a tenant's own producers log in. No user of the engine has a hyphen in its name.
func LandingUser(tenant string) string { return "tenant-" + tenant }

// TopicsOf lists the topics that one of Groups, or GroupLanding, reads; reads is false for every other name. The forwarder of landing topics
// reads those of all tenants, so it has none that could be listed.
func TopicsOf(group string) (topics []string, reads bool) {
	switch group {
	case GroupSequencer:
		return []string{TopicIngress}, true
	case GroupProjector:
		return []string{TopicEvents}, true
	case GroupRules, GroupArchiver, GroupGoHighLevel:
		return []string{TopicEvents, TopicDeadLetter}, true
	case GroupLanding:
		return nil, true
	}
	return nil, false
}

// Groups lists the engine's consumer groups, in the order in which events flow through them.
func Groups() []string {
	return []string{GroupSequencer, GroupArchiver, GroupProjector, GroupRules, GroupGoHighLevel}
}
