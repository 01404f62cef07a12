package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/app"
)

func TestConfig_ShortKeyWindowNeedsLaptop(t *testing.T) {
	for _, c := range []struct {
		window time.Duration
		laptop bool
		ok     bool
	}{
		{0, false, true}, {24 * time.Hour, false, true}, {7 * 24 * time.Hour, false, true}, {time.Second, true, true},
		{time.Hour, false, false}, {time.Millisecond, true, false}, {-time.Hour, true, false}, {8 * 24 * time.Hour, true, false},
	} {
		cfg := Default()
		cfg.Settings = app.Settings{KafkaBrokers: []string{"k:9092"}, PostgresURL: "postgres://p/n", RegistryURL: "http://r", SigningKeysFile: "keys.json"}
		cfg.KeyWindow, cfg.Laptop = c.window, c.laptop
		err := cfg.Validate()
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "--key-window") {
			t.Errorf("%s, laptop %v: %v", c.window, c.laptop, err)
		}
	}
}

func TestConfig_BodyMemoryHoldsTheLargestBatch(t *testing.T) {
	for _, c := range []struct {
		memory, share int64
		problem       string
	}{
		{0, 0, ""}, {64 << 20, 0, ""}, {64 << 20, 64 << 20, ""}, {1 << 30, 1 << 20, ""},
		{64<<20 - 1, 0, "--body-memory"}, {-1, 0, "--body-memory"}, {64 << 20, 65 << 20, "--tenant-body-memory"}, {0, -1, "--tenant-body-memory"},
	} {
		cfg := Default()
		cfg.Settings = app.Settings{KafkaBrokers: []string{"k:9092"}, PostgresURL: "postgres://p/n", RegistryURL: "http://r", SigningKeysFile: "keys.json"}
		cfg.BodyMemory, cfg.BodyShare = c.memory, c.share
		err := cfg.Validate()
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%d, share %d: %v", c.memory, c.share, err)
		}
	}
	if n := (&Config{}).bodyMemory(); n < 64<<20 || n > 1<<30 {
		t.Errorf("%d bytes by default", n)
	}
}
