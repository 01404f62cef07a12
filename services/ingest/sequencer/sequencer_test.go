package sequencer

import (
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func TestRun_AdmitsRefusesAndDropsRepeatsEndToEnd(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	start(t, testConfig(cfg, keys, "0"))
	var events []*event.Event
	for i := range 5 {
		tenant := fmt.Sprintf("t%d", i)
		events = append(events, created(keys, tenant))
		for j := range 20 {
			events = append(events, lead(tenant, fmt.Sprint(j)))
		}
		events = append(events, lead(tenant, "3")) // a repeat
	}
	events = append(events, lead("nobody", "1"))
	send(t, cfg, events...)
	log := waitLogged(t, cfg, 5*21)
	checkLog(t, log)
	if n := total(log); n != 5*21 {
		t.Fatalf("%d events in the log", n)
	}
	dead := kafkatest.Consume(t, cfg, kafka.TopicDeadLetter)
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	if code, _ := kafka.Header(dead[0], hdrCode); code != string(event.CodeUnknownTenant) {
		t.Fatalf("dead letter for %s", code)
	}
}

func TestRun_GoesOnAfterARestart(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"), lead("a", "1"), lead("a", "2"))
	waitLogged(t, cfg, 3)
	r.halt()
	if r.err != nil {
		t.Fatal(r.err)
	}
	send(t, cfg, lead("a", "2"), lead("a", "3"))
	start(t, testConfig(cfg, keys, "0"))
	log := waitLogged(t, cfg, 4)
	checkLog(t, log)
	if log["a"][0].LogID != log["a"][3].LogID {
		t.Fatal("the log id changed")
	}
}
