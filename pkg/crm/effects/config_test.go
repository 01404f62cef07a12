package effects

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

// Each setting is refused by its own name just beyond what is taken, all at once; a setting that is left out is none of them.
func TestConfig_NamesEachSettingThatIsOutOfBounds(t *testing.T) {
	flags := []string{"--ghl-base-url", "--crm-timeout", "--workers", "--crm-daily-reserve"}
	for name, x := range map[string]struct {
		cfg  Config
		want string
	}{
		"left out":           {Config{BaseURL: "http://x"}, ""},
		"at the upper bound": {Config{BaseURL: "http://127.0.0.1:1", Timeout: 5 * time.Minute, Workers: 256}, ""},
		"no URL":             {Config{BaseURL: "ftp://x"}, "--ghl-base-url"},
		"too long":           {Config{BaseURL: "http://x", Timeout: 5*time.Minute + 1}, "--crm-timeout"},
		"before it began":    {Config{BaseURL: "http://x", Timeout: -1}, "--crm-timeout"},
		"too many":           {Config{BaseURL: "http://x", Workers: 257}, "--workers"},
		"fewer than none":    {Config{BaseURL: "http://x", Workers: -1}, "--workers"},
		"a debt":             {Config{BaseURL: "http://x", DailyReserve: -1}, "--crm-daily-reserve"},
		"all":                {Config{BaseURL: "x", Timeout: -1, Workers: -1, DailyReserve: -1}, strings.Join(flags, " ")},
	} {
		x.cfg.Vendor = "ghl"
		err := x.cfg.Validate()
		if err == nil {
			t.Fatalf("%s: without brokers and secrets it is valid", name)
		}
		var got []string
		for _, f := range flags {
			if strings.Contains(err.Error(), f) {
				got = append(got, f)
			}
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%s: refused %v, want %s", name, got, x.want)
		}
	}
	d := Config{Workers: 3, Timeout: time.Second, BaseURL: "http://127.0.0.1:1"}.withDefaults()
	if d.Workers != 3 || d.Timeout != time.Second || d.BaseURL != "http://127.0.0.1:1" || d.lease() != 3*time.Second {
		t.Errorf("what is given is replaced: %+v", d)
	}
	if d := (Config{}).withDefaults(); d.Workers != 16 || d.Timeout != 30*time.Second || d.PollEvery != 200*time.Millisecond || d.SweepEvery != 5*time.Second || d.ShutdownTimeout != 20*time.Second {
		t.Errorf("%+v", d)
	}
}

func TestConfig_AnAppNeedsAllThatItWorksWith(t *testing.T) {
	flags := []string{"--ghl-client-secret", "--master-keyset-file", "--public-url", "--ghl-scopes", "--ghl-consent-url", "--consent-addr"}
	whole := crm.App{ID: "a", Secret: "hunter2", Consent: "https://crm.example.com/consent", Scopes: "contacts.readonly"}
	bare := crm.App{ID: "a"}
	for name, x := range map[string]struct {
		cfg  Config
		want string
	}{
		"no app":                  {Config{}, ""},
		"an app":                  {Config{App: whole, KeysetFile: "k", PublicURL: "https://engine.example.com"}, ""},
		"on a laptop":             {Config{App: whole, KeysetFile: "k", PublicURL: "http://127.0.0.1:8085/"}, ""},
		"an app and nothing else": {Config{App: bare}, "--ghl-client-secret --master-keyset-file --public-url --ghl-scopes --ghl-consent-url"},
		"in the clear":            {Config{App: whole, KeysetFile: "k", PublicURL: "http://engine.example.com"}, "--public-url"},
		"below a path":            {Config{App: whole, KeysetFile: "k", PublicURL: "https://engine.example.com/x"}, "--public-url"},
		"no URL":                  {Config{App: whole, KeysetFile: "k", PublicURL: "engine"}, "--public-url"},
		"pages without an app":    {Config{ConsentAddr: "127.0.0.1:8085"}, "--consent-addr"},
	} {
		x.cfg.Vendor, x.cfg.BaseURL = "ghl", "https://crm.example.com"
		err := x.cfg.Validate()
		var got []string
		for _, f := range flags {
			if strings.Contains(err.Error(), f+" ") || strings.Contains(err.Error(), f+":") {
				got = append(got, f)
			}
		}
		if strings.Join(got, " ") != x.want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: refused %v, want %s: %v", name, got, x.want, err)
		}
	}
}
