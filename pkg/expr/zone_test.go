package expr

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/zone"
)

// The machine's data is replaced by one in which Berlin is where New York is.
func TestEdition2_ReadsNoZoneFileOfTheMachine(t *testing.T) {
	const key = "NEURONX_TEST_ZONE_CHILD"
	if os.Getenv(key) == "" {
		dir := t.TempDir()
		data, err := zone.File("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "Europe"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "Europe", "Berlin"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "-test.run=^TestEdition2_ReadsNoZoneFileOfTheMachine$")
		child.Env = append(os.Environ(), key+"=1", "ZONEINFO="+dir, "TZ=Asia/Tokyo")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("with another ZONEINFO: %s", out)
		}
		return
	}
	fooled, err := time.LoadLocation("Europe/Berlin")
	if err != nil || noon.In(fooled).Hour() != 7 {
		t.Fatalf("the machine's Berlin was not replaced: %v", err)
	}
	p, err := CompileIn(Edition2, `event.time.getHours("Europe/Berlin")`, "event")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Eval(map[string]any{"event": map[string]any{"time": noon}}); err != nil || got != int64(13) {
		t.Errorf("noon in UTC is %v o'clock in Berlin (%v), want 13", got, err)
	}
}

func TestEdition2_EveryFunctionOfATimeTakesAZone(t *testing.T) {
	at := time.Date(2026, 1, 1, 4, 30, 15, 250e6, time.UTC)
	for src, want := range map[string]int64{
		`getFullYear("America/New_York")`: 2025, `getMonth("America/New_York")`: 11, `getDayOfYear("America/New_York")`: 364,
		`getDayOfMonth("America/New_York")`: 30, `getDate("America/New_York")`: 31, `getDayOfWeek("America/New_York")`: 3,
		`getHours("America/New_York")`: 23, `getMinutes("Asia/Kolkata")`: 0, `getSeconds("UTC")`: 15, `getMilliseconds("UTC")`: 250,
		`getHours("+02:00")`: 6, `getHours("-05:30")`: 23, `getHours()`: 4, `getHours("05:30")`: 10,
	} {
		p, err := CompileIn(Edition2, "event.time."+src, "event")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got, err := p.Eval(map[string]any{"event": map[string]any{"time": at}}); err != nil || got != want {
			t.Errorf("%s = %v (%v), want %d", src, got, err, want)
		}
	}
}

func TestEdition2_AnUnknownZoneIsRefusedInASourceAndAnOutcomeInData(t *testing.T) {
	for zone, want := range map[string]string{"America/NewYork": `did you mean "America/New_York"?`, "Local": "no time zone", "": "no time zone", "europe/berlin": `"Europe/Berlin"`,
		"Mars/Olympus": "IANA", "+25:00": "no time zone", "../../etc/passwd": "no time zone"} {
		_, err := CompileIn(Edition2, "1 +\n event.time.getHours('"+zone+"')", "event")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "2:22") {
			t.Errorf("%q: %v, want %s", zone, err, want)
		}
		p, err := CompileIn(Edition2, "event.time.getHours(event.zone)", "event")
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Eval(map[string]any{"event": map[string]any{"time": noon, "zone": zone}})
		if err == nil || !strings.Contains(err.Error(), noZone) {
			t.Errorf("%q in data: %v", zone, err)
		}
	}
}
