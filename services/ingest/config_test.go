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
