package calendar

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/zone"
)

// answers are many results of the package as one hash.
func answers(t *testing.T) string {
	t.Helper()
	sum := sha256.New()
	for _, name := range oracleZones {
		loc := load(t, name)
		spec := office()
		spec.Zone = name
		c := make1(t, spec)
		for day := range 120 {
			u := time.Unix(int64(1_262_300_000+day*4_013_337), int64(day))
			next, ok := c.NextOpen(u)
			closes, open := c.Closes(next)
			after, passes := c.After(u, time.Duration(day)*time.Hour)
			_, _ = fmt.Fprintln(sum, next, ok, closes, open, after, passes, c.Between(u, u.Add(1000*time.Hour)), c.Open(u),
				Next(u, TimeOfDay{day % 24, day % 60}, loc), Add(u, Duration{day % 14, day % 40, time.Duration(day)}, loc))
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// TestCalendar_AnswersTheSameOnEveryMachine runs the test itself under other zones of the machine, and with zone files in which every
// zone has the clocks of Tokyo: as a folder and as a file, the two forms that ZONEINFO has.
func TestCalendar_AnswersTheSameOnEveryMachine(t *testing.T) {
	const asked, mark = "NEURONX_CALENDAR_ANSWERS", "answers: "
	here := answers(t)
	if os.Getenv(asked) != "" {
		fmt.Println(mark + here + " " + time.Unix(0, 0).Format("15:04"))
		return
	}
	folder, packed := wrongZones(t)
	clocks := map[string]bool{}
	for _, env := range [][]string{
		{"TZ=UTC"}, {"TZ=America/New_York"}, {"TZ=Pacific/Apia", "ZONEINFO=" + folder}, {"TZ=Asia/Kathmandu", "ZONEINFO=" + packed}, {"TZ=", "ZONEINFO=" + folder},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCalendar_AnswersTheSameOnEveryMachine$", "-test.count=1")
		cmd.Env = append(append(os.Environ(), asked+"=yes"), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("with %v: %v\n%s", env, err, out)
		}
		_, there, _ := strings.Cut(string(out), mark)
		there, _, _ = strings.Cut(there, "\n")
		there, clock, _ := strings.Cut(there, " ")
		if there != here {
			t.Errorf("with %v the answers are %s, here %s", env, there, here)
		}
		clocks[clock] = true
	}
	if len(clocks) < 3 {
		t.Errorf("all machines have the same zone, %v: this test looks at the wrong thing", clocks)
	}
}

// wrongZones are zone files for ZONEINFO, all of them Tokyo's.
func wrongZones(t *testing.T) (folder, packed string) {
	t.Helper()
	folder = t.TempDir()
	packed = filepath.Join(t.TempDir(), "wrong.zip")
	tokyo, err := zone.File("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, name := range append(oracleZones, "Asia/Kathmandu") {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, tokyo, 0o644); err != nil {
			t.Fatal(err)
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(tokyo); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return folder, packed
}
