package topology_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/topology"
)

var update = flag.Bool("update", false, "write deploy/kafka/topics.sh again")

const topicsScript = "../../../deploy/kafka/topics.sh"

// script renders the declared topics as commands of Kafka's own tool.
func script(declared []topology.Topic) string {
	var b strings.Builder
	b.WriteString(`#!/usr/bin/env bash
# Generated from pkg/kafka/topology/topics.yaml by: go test ./pkg/kafka/topology -run TopicsScript -args -update
#
# The topics of the engine, for clusters where only an administrator with Kafka's own tools may create them; elsewhere
# "neuronx provision --execute" does it. What exists is left as it is. Afterwards "neuronx provision" must have nothing to say.
#
#   BOOTSTRAP=host:9092 [COMMAND_CONFIG=client.properties] [PARTITIONS=48] [REPLICATION=3] [MIN_INSYNC=2] [KAFKA_BIN=/opt/kafka/bin] topics.sh
set -euo pipefail
: "${BOOTSTRAP:?host:port of a broker}" "${PARTITIONS:=48}" "${REPLICATION:=3}" "${MIN_INSYNC:=2}" "${KAFKA_BIN:=/opt/kafka/bin}"

create() {
  "$KAFKA_BIN/kafka-topics.sh" --bootstrap-server "$BOOTSTRAP" ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} \
    --create --if-not-exists --replication-factor "$REPLICATION" --config min.insync.replicas="$MIN_INSYNC" "$@"
}
`)
	for _, d := range declared {
		partitions := `"$PARTITIONS"`
		if d.Partitions == "one" {
			partitions = "1"
		}
		fmt.Fprintf(&b, "\n# %s\ncreate --topic %s --partitions %s", d.Doc, d.Name, partitions)
		for _, k := range slices.Sorted(maps.Keys(d.Config)) {
			fmt.Fprintf(&b, " \\\n  --config %s=%s", k, d.Config[k])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestTopicsScript_IsWhatIsDeclared(t *testing.T) {
	declared, err := topology.Topics()
	if err != nil {
		t.Fatal(err)
	}
	want := script(declared)
	if *update {
		if err := os.WriteFile(topicsScript, []byte(want), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(topicsScript)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is not as topics.yaml declares: go test ./pkg/kafka/topology -run TopicsScript -args -update", topicsScript)
	}
}
