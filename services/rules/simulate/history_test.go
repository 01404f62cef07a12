package simulate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
)

// histories hold what builds before this one derived: in each file a bundle, the facts of a tenant, and behind each fact every event that
// came of it. A build that derives anything else from the same facts has changed the meaning of published files. That takes a new number of
// semantics, not a new history.
const histories = "../testdata/histories"

// past is a line of a history. Facts have data and no body: it is encoded by the schemas of this build.
type past struct {
	Fact        bool           `json:"fact,omitempty"`
	At          time.Time      `json:"at"` // recorded
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Time        time.Time      `json:"time,omitzero"`
	Origin      event.Origin   `json:"origin,omitempty"`
	Correlation string         `json:"correlation,omitempty"`
	Causation   string         `json:"causation,omitempty"`
	Hops        int            `json:"hops,omitempty"`
	Path        []string       `json:"path,omitempty"`
	Body        string         `json:"body,omitempty"` // SHA-256 of the body of an output, without the frame that names the registry's schema id
	Data        map[string]any `json:"data"`
}

// history is the log of a sandbox, an event a line.
func history(ctx context.Context, w *sandbox) ([]byte, error) {
	var out bytes.Buffer
	for i := range w.log {
		r := &w.log[i]
		data, err := w.rules.Decode(ctx, r)
		if err != nil {
			return nil, err
		}
		e := past{Fact: r.Deriver == "", At: r.RecordedTime.UTC(), ID: r.ID, Source: r.Source, Type: r.Type, Subject: r.Subject, Time: r.Time.UTC(), Origin: r.Origin,
			Correlation: r.CorrelationID, Causation: r.CausationID, Hops: r.Hops, Path: r.Path, Data: map[string]any{}}
		for k, v := range data {
			if v != nil || !e.Fact {
				e.Data[k] = v
			}
		}
		if !e.Fact {
			_, body, err := event.Unframe(r.Value)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(body)
			e.Body = hex.EncodeToString(sum[:])
		}
		line, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", r.Type, err)
		}
		out.Write(append(line, '\n'))
	}
	return out.Bytes(), nil
}

// refold folds the facts of a history with this build, and gives the history that it writes.
func refold(ctx context.Context, text []byte, reg rules.Registry) ([]byte, error) {
	w := &sandbox{registry: reg, rules: rules.NewSandbox(tenant, reg, &rules.Compiled{})}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e past
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		if !e.Fact {
			continue
		}
		data, err := json.Marshal(e.Data)
		if err != nil {
			return nil, err
		}
		id, s, err := reg.ByType(ctx, e.Type)
		if err != nil {
			return nil, fmt.Errorf("find the schema of %s: %w", e.Type, err)
		}
		body, err := s.EncodeJSON(data)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", e.Type, err)
		}
		w.now = e.At
		w.append(event.Event{ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time, Origin: e.Origin, CorrelationID: e.Correlation, CausationID: e.Causation,
			Hops: e.Hops, Path: e.Path, Value: event.Frame(id, body)})
		if _, err := w.drain(ctx); err != nil {
			return nil, err
		}
		if e.Type == "rules.published" {
			set, version, sequence := w.rules.InForce()
			if w.flows, err = newFlows(ctx, set, version, sequence, reg); err != nil {
				return nil, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return history(ctx, w)
}

// firstDifference is the first line in which two histories are not the same; empty: there is none.
func firstDifference(want, got []byte) string {
	a, b := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(a), len(b)) {
		line := func(l []string) string {
			if i < len(l) {
				return l[i]
			}
			return "nothing"
		}
		if x, y := line(a), line(b); x != y {
			return fmt.Sprintf("line %d\n  was %s\n  is  %s", i+1, x, y)
		}
	}
	return ""
}

// recorded are the histories in a folder, by file name.
func recorded(dir string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, p := range paths {
		if out[filepath.Base(p)], err = os.ReadFile(p); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no history, so nothing was compared", dir)
	}
	return out, nil
}

// Run with UPDATE_GOLDEN=1 to record tests of the library that have no history yet, and to write what this build derives into those that are there.
func TestHistories_ThisBuildDerivesWhatThoseBeforeItDid(t *testing.T) {
	update := os.Getenv("UPDATE_GOLDEN") != ""
	have, err := recorded(histories)
	if err != nil && !update {
		t.Fatal(err)
	}
	for name, was := range have {
		is, err := refold(t.Context(), was, schemas(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := firstDifference(was, is)
		switch {
		case d == "":
		case update:
			write(t, name, is)
		default:
			t.Errorf("%s: %s\nIf published files may mean something else from now on, that is a new number of semantics. If they may not, this build is wrong.", name, d)
		}
		if !strings.Contains(string(is), `"body":"`) {
			t.Errorf("%s: nothing is derived in it", name)
		}
	}
	for _, folder := range libraryOf(t) {
		files, texts := shelf(t, folder)
		tests := readTests(t, files, texts)
		for i := range tests {
			name := folder + "--" + tests[i].Name + ".jsonl"
			if have[name] != nil {
				continue
			}
			if !update {
				t.Errorf("the library's test %s of %s has no history; record it by UPDATE_GOLDEN=1", tests[i].Name, folder)
				continue
			}
			seen, err := newCover(files)
			if err != nil {
				t.Fatal(err)
			}
			r := run{test: &tests[i], cover: seen}
			if err := r.run(t.Context(), newBundle(files).chosen(tests[i].Rules), schemas(t), &rules.Compiled{}); err != nil {
				t.Fatal(err)
			}
			text, err := history(t.Context(), r.sandbox)
			if err != nil {
				t.Fatal(err)
			}
			write(t, name, text)
		}
	}
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(histories, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(histories, name), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestHistories_AnEmptyFolderIsNoProof(t *testing.T) {
	if _, err := recorded(t.TempDir()); err == nil {
		t.Error("an empty corpus passes")
	}
}

// A history in which anything of an output is changed is found, and so is one that lacks an output.
func TestHistories_AnyChangedOutputIsFound(t *testing.T) {
	have, err := recorded(histories)
	if err != nil {
		t.Fatal(err)
	}
	const name = "speed-to-lead--speed-to-lead.jsonl"
	was := string(have[name])
	at := strings.Index(was, `"type":"crm.message.send.requested"`)
	if at < 0 {
		t.Fatalf("%s holds no message", name)
	}
	from := strings.LastIndex(was[:at], "\n") + 1
	to := at + strings.Index(was[at:], "\n") + 1
	line := was[from:to]
	for what, changed := range map[string]string{
		"id":      strings.Replace(line, `"id":"`, `"id":"0`, 1),
		"subject": strings.Replace(line, `"subject":"lead/7"`, `"subject":"lead/8"`, 1),
		"path":    strings.Replace(line, `"path":["`, `"path":["x`, 1),
		"body":    strings.Replace(line, `"body":"`, `"body":"0`, 1),
		"data":    strings.Replace(line, "Hi Ada", "Hi Bob", 1),
		"no line": "",
	} {
		if changed == line {
			t.Errorf("%s: nothing was changed in %s", what, line)
		}
		altered := []byte(was[:from] + changed + was[to:])
		is, err := refold(t.Context(), altered, schemas(t))
		if err != nil {
			t.Fatal(err)
		}
		if firstDifference(altered, is) == "" {
			t.Errorf("%s: nobody sees it", what)
		}
	}
}
