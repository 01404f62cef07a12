package rules

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/rules/workflows"
)

// What a day on record is folded with, by the test's own processes.
const (
	dayFile  = "NEURONX_TEST_DAY_FILE"  // the record, in a process that folds it
	dayFrom  = "NEURONX_TEST_DAY_FROM"  // the number of its first fold
	dayFolds = "NEURONX_TEST_DAY_FOLDS" // how many it does
	dayMark  = "folded: "
)

var dayStart = time.Date(2026, 3, 6, 14, 0, 0, 0, time.UTC)

// A day of a tenant with the whole library is folded by processes that differ in all that a machine may differ in: processors, time zone, zone
// files, clock, and how the log is cut into batches. Each derives the same events, in the same order, with the same bytes, and stores the same. Every second fold is that of the service, over a
// database, and all are done in memory, too, under a clock that is years off.
// NEURONX_TEST_WORKFLOWS=long folds it 100 times.
func TestDay_GivesTheSameBytesOnEveryMachine(t *testing.T) {
	if path := os.Getenv(dayFile); path != "" {
		foldDay(t, path)
		return
	}
	processes, folds, leads := 4, 2, 24
	if os.Getenv("NEURONX_TEST_WORKFLOWS") == "long" {
		processes, folds = 10, 10
	}
	r := newRecorder(t, dayStart)
	r.day(leads)
	r.hasAll()
	text, err := json.Marshal(r.log)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "day.json")
	writeDay(t, path, text)
	want, lies := derivedIn(r.log), lyingZones(t)
	seen, stored := map[string]bool{}, ""
	for n := range processes {
		env := []string{"TZ=" + []string{"UTC", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", ""}[n%5],
			dayFile + "=" + path, dayFrom + "=" + strconv.Itoa(n*folds), dayFolds + "=" + strconv.Itoa(folds)}
		if n%2 == 1 {
			env = append(env, "ZONEINFO="+lies)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDay_GivesTheSameBytesOnEveryMachine$", "-test.count=1")
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("with %v: %v\n%s", env, err, out)
		}
		found := 0
		for line := range strings.SplitSeq(string(out), "\n") {
			result, is := strings.CutPrefix(line, dayMark)
			if !is {
				continue
			}
			found++
			f := strings.SplitN(result, " ", 4)
			stored = cmp.Or(stored, f[1])
			if f[0] != "" && f[0] != want || f[2] != want {
				t.Errorf("with %v fold %d derives %s, and in memory %s; the day was recorded with %s", env, found, f[0], f[2], want)
			}
			if f[1] != "" && f[1] != stored {
				t.Errorf("with %v fold %d stores %s, the first one stored %s", env, found, f[1], stored)
			}
			seen[f[3]] = true
		}
		if found != folds {
			t.Errorf("with %v there were %d folds, want %d:\n%s", env, found, folds, out)
		}
	}
	if stored == "" {
		t.Error("no fold stored anything")
	}
	if len(seen) < 4 { // what the processes themselves see of zones and clock
		t.Errorf("the machines did not differ: %v", seen)
	}
	t.Logf("%d events, %d of them derived, folded %d times: %s, stored %s", len(r.log), r.derived, processes*folds, want[:12], stored[:min(12, len(stored))])
}

// hasAll holds the day against what it is to show.
func (r *recorder) hasAll() {
	r.Helper()
	types := map[string]int{}
	for i := range r.log {
		types[r.log[i].Type]++
	}
	for _, typ := range []string{"workflow.completed", "workflow.cancelled", "workflow.rejected", "workflow.incident.raised", "workflow.verb.refused", "timer.fired", "lead.assigned",
		"crm.message.send.requested", "crm.message.send.failed", "crm.task.add.requested", "lead.qualified", "consent.changed", "subject.merged", "subject.unmerged", "engine.rule.failed",
		"workflow.migrated", "workflow.suspended", "workflow.resumed"} {
		if types[typ] == 0 {
			r.Errorf("the day has no %s", typ)
		}
	}
	if len(r.log) < 600 || types["timer.fired"] < 50 {
		r.Errorf("the day has %d events and %d firings: %v", len(r.log), types["timer.fired"], types)
	}
}

// derivedIn hashes what a log says that was derived.
func derivedIn(log []event.Recorded) string {
	sum := sha256.New()
	for i := range log {
		if log[i].Deriver == Deriver {
			_, _ = fmt.Fprintln(sum, printed(&log[i].Event))
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// foldDay folds the record and prints what came of it.
func foldDay(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log []event.Recorded
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	from, err := strconv.Atoi(os.Getenv(dayFrom))
	if err != nil {
		t.Fatal(err)
	}
	folds, err := strconv.Atoi(os.Getenv(dayFolds))
	if err != nil {
		t.Fatal(err)
	}
	for n := from; n < from+folds; n++ {
		runtime.GOMAXPROCS(1 + n%8)
		derived, stored := "", ""
		if n%2 == 0 {
			derived, stored = foldStored(t, log, []int{25, 64, 200, 7}[n/2%4])
		}
		var inMemory, clock string
		synctest.Test(t, func(t *testing.T) { // its clock begins in the year 2000
			time.Sleep(time.Duration(n) * 1001 * time.Hour)
			inMemory = foldInMemory(t, log)
			clock = time.Now().Format(time.RFC3339)
		})
		newYork, err := time.LoadLocation("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(dayMark + derived + " " + stored + " " + inMemory + " " + clock + " " + time.Unix(0, 0).In(newYork).Format("15:04"))
	}
}

// foldStored applies the record to a database of its own, in batches of so many events.
func foldStored(t *testing.T, log []event.Recorded, batch int) (derived, stored string) {
	b := newFlowBench(t)
	b.log[dayTenant] = log
	sum, last := sha256.New(), int64(0)
	for at := 0; at < len(log); at += batch {
		b.apply(b.h, nil, runOf(unnumbered(log[at:min(at+batch, len(log))])...))
		rows, err := b.pool.Query(t.Context(), `SELECT number, record FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND number > $3 ORDER BY number`, dayTenant, Deriver, last)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var record []byte
			if err := rows.Scan(&last, &record); err != nil {
				t.Fatal(err)
			}
			e, err := outbox.Decode(dayTenant, record)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintln(sum, printed(&e))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if at%3 == 0 {
			b.restart()
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), fmt.Sprintf("%x", sha256.Sum256([]byte(b.kept(false))))
}

func foldInMemory(t *testing.T, log []event.Recorded) string {
	w := NewTimeline(dayTenant, catalogue(t), &Compiled{}, workflows.NewMemory(), 1, func(_ context.Context, sequence int64) (*event.Recorded, error) {
		return &log[sequence-1], nil
	})
	sum := sha256.New()
	for i := range log {
		taken, err := w.Apply(t.Context(), log[i])
		if err != nil {
			t.Fatal(err)
		}
		for j := range taken.Derived {
			_, _ = fmt.Fprintln(sum, printed(&taken.Derived[j]))
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// lyingZones is a folder of zone files in which every zone has the clocks of Tokyo.
func lyingZones(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tokyo, err := zone.File("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range zone.Names() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeDay(t, path, tokyo)
	}
	return dir
}
