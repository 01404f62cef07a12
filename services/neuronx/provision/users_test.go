package provision

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

func TestUsers_CanLogInWithTheFileThatWasWrittenForThem(t *testing.T) {
	adm, as := kafkatest.StartSecure(t)
	dir := filepath.Join(t.TempDir(), "secrets")
	o := Options{Kafka: adm, Topics: topology.Options{Partitions: kafkatest.Partitions, ReplicationFactor: 1, Laptop: true}, Secrets: dir, Users: true}
	if would, err := Run(context.Background(), o); err != nil || len(would) == 0 {
		t.Fatalf("%v, %v; want a plan", would, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("a plan wrote secrets")
	}
	o.Execute = true
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "neuronx_rules.kafka-password"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, KafkaUsersFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", KafkaUsersFile, info, err)
	}
	login := func(password string) error {
		a, err := admin.New(as("neuronx_rules", password))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return a.Ping(ctx)
	}
	if err := login(strings.TrimSpace(string(text))); err != nil {
		t.Error(err)
	}
	// Taken out of the list, a password is recreated.
	have := map[string]string{}
	b, err := os.ReadFile(filepath.Join(dir, KafkaUsersFile))
	if err != nil || json.Unmarshal(b, &have) != nil {
		t.Fatal(err)
	}
	delete(have, "neuronx_rules")
	if b, err = json.Marshal(have); err != nil || os.WriteFile(filepath.Join(dir, KafkaUsersFile), b, 0o600) != nil {
		t.Fatal(err)
	}
	changes, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Part == "secrets" && c.Name != KafkaUsersFile && c.Name != "neuronx_rules.kafka-password" || c.Action == topology.ActionGrant {
			t.Errorf("the second run does %+v", c)
		}
	}
	fresh, err := os.ReadFile(filepath.Join(dir, "neuronx_rules.kafka-password"))
	if err != nil || string(fresh) == string(text) || login(strings.TrimSpace(string(fresh))) != nil || login(strings.TrimSpace(string(text))) == nil {
		t.Errorf("the password was not changed: %v", err)
	}
}
