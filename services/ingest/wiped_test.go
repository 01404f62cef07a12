package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

func TestSameTopic_RefusesALogThatWasRecreated(t *testing.T) {
	here, gone := uuid.MustParse("8d9ccf1b-7b54-4c6a-9a57-0fbd6d8a5a01"), uuid.MustParse("8d9ccf1b-7b54-4c6a-9a57-0fbd6d8a5a02")
	if err := sameTopic(here, nil); err != nil {
		t.Errorf("a new installation: %v", err)
	}
	if err := sameTopic(here, []uuid.UUID{here}); err != nil {
		t.Errorf("the archived log: %v", err)
	}
	for _, archived := range [][]uuid.UUID{{gone}, {here, gone}} {
		if err := sameTopic(here, archived); err == nil || !strings.Contains(err.Error(), "neuronx log reseed --from-archive") {
			t.Errorf("%v: %v", archived, err)
		}
	}
}

func TestRun_EndsWithAnArchiveOfAnotherLog(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations())
	keys := filepath.Join(t.TempDir(), "keys.json")
	text, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Settings = app.Settings{
		KafkaBrokers: kafkatest.Start(t).Brokers, PostgresURL: app.Secret(db.URL(postgres.RoleIngest)), RegistryURL: "http://127.0.0.1:1", SigningKeysFile: keys,
	}
	cfg.Laptop, cfg.HTTPAddr = true, "127.0.0.1:0"
	run := func(most time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		return Run(ctx, app.NewRuntime("ingest", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry()), cfg)
	}
	if err := run(2 * time.Second); errors.Is(err, sequencer.ErrOtherLog) {
		t.Errorf("a new installation: %v", err)
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset)
		VALUES ($1, 1, $2, 0, $3, 7)`, kafka.GroupArchiver, kafka.TopicEvents, uuid.New()); err != nil {
		t.Fatal(err)
	}
	if err := run(kafkatest.Patience); !errors.Is(err, sequencer.ErrOtherLog) {
		t.Errorf("a log that was recreated: %v", err)
	}
}
