package zone

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestLoad_GivesTheSameRulesWhateverTheMachineHas(t *testing.T) {
	t.Setenv("ZONEINFO", t.TempDir())
	berlin, err := Load("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]int{
		time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC): 1, time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC): 3,
		time.Date(2026, 10, 25, 0, 59, 59, 0, time.UTC): 2, time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC): 2,
		time.Date(2040, 7, 1, 10, 0, 0, 0, time.UTC): 12,
	} {
		if got := at.In(berlin).Hour(); got != want {
			t.Errorf("%s is hour %d in Berlin, want %d", at, got, want)
		}
	}
	if again, err := Load("Europe/Berlin"); err != nil || again != berlin {
		t.Errorf("a second Load gives another location, %v", err)
	}
	if utc, err := Load(UTC); err != nil || utc != time.UTC {
		t.Errorf("UTC is %v, %v", utc, err)
	}
}

// A golden sum: with other data, published rules and projections would make something else of the same log. An edition of the expression
// language names the version (expr.ZoneData), so a newer one comes with a new edition.
func TestVersion_IsThatOfTheData(t *testing.T) {
	sum := sha256.Sum256(data)
	if Version != "2025c" || hex.EncodeToString(sum[:]) != "8f55634d05f8bca1f7bc7c69c5933428c69357e0bdf565e5ba224e3f88ff12e8" {
		t.Fatalf("the data is %x, which is not known as %s", sum, Version)
	}
}

func TestLoad_RefusesWhatIsNoZone(t *testing.T) {
	for _, name := range []string{"", "Local", "America/NewYork", "europe/berlin", "Europe/", "../etc/passwd", "Europe/Berlin/", "CEST"} {
		if l, err := Load(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q is %v, %v", name, l, err)
		}
	}
}

func TestNames_CanAllBeLoaded(t *testing.T) {
	names := Names()
	if len(names) < 500 || !slices.Contains(names, "America/New_York") {
		t.Fatalf("%d names", len(names))
	}
	for _, n := range names {
		if _, err := Load(n); err != nil {
			t.Error(err)
		}
	}
}
