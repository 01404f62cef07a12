package registry

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/schemas"
)

// front counts requests, and can be made to fail.
type front struct {
	http.Handler
	requests atomic.Int64
	down     atomic.Bool
	noList   atomic.Bool // GET /schemas is not there, as in older registries
	bareList atomic.Bool // GET /schemas tells the text only, as Apicurio's does
	hideTwo  atomic.Bool // there is no schema 2
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	switch {
	case f.down.Load():
		http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
	case f.hideTwo.Load() && r.URL.Path == "/schemas/ids/2":
		answerError(w, refuse(codeSchemaNotFound, "hidden"))
	case f.noList.Load() && r.URL.Path == "/schemas":
		http.NotFound(w, r)
	case f.bareList.Load() && r.URL.Path == "/schemas":
		answer(w, http.StatusOK, []map[string]string{{"schema": `{"type":"record","name":"X","fields":[]}`}})
	default:
		f.Handler.ServeHTTP(w, r)
	}
}

// clock is a hand-moved clock.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func connect(t *testing.T) (*Client, *front, *clock) {
	t.Helper()
	s, _ := start(t, kafkatest.Start(t))
	f := &front{Handler: s}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	k := &clock{}
	k.advance(time.Hour)
	c.now = k.now
	return c, f, k
}

func catalogueFiles(t *testing.T) []schemas.File {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPush_RegistersTheCatalogueOnceUnderBothSubjects(t *testing.T) {
	c, _, _ := connect(t)
	ctx := t.Context()
	files := catalogueFiles(t)

	dry, err := c.Push(ctx, files, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range dry {
		if change.Action != ActionRegister || change.ID != 0 {
			t.Errorf("dry run into an empty registry: %+v", change)
		}
	}
	if types, err := c.Types(ctx); err != nil || len(types) != 0 {
		t.Errorf("a dry run registered %v (%v)", types, err)
	}

	done, err := c.Push(ctx, files, true)
	if err != nil || len(done) != 2*len(files) {
		t.Fatalf("%d changes for %d files: %v", len(done), len(files), err)
	}
	for i := 0; i < len(done); i += 2 {
		if done[i].ID == 0 || done[i].ID != done[i+1].ID {
			t.Errorf("ids differ: %+v %+v", done[i], done[i+1])
		}
	}
	again, err := c.Push(ctx, files, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, change := range again {
		if change.Action != ActionUnchanged || change.ID != done[i].ID {
			t.Errorf("pushed again: %+v, was %+v", change, done[i])
		}
	}
	types, err := c.Types(ctx)
	if err != nil || len(types) != len(files) {
		t.Errorf("%d types of %d files: %v", len(types), len(files), err)
	}
	for _, name := range types {
		id, s, err := c.ByType(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		byID, err := c.SchemaByID(ctx, id)
		if err != nil || byID.Fingerprint() != s.Fingerprint() || s.EventType() != name {
			t.Errorf("%s: id %d is %v (%v)", name, id, byID, err)
		}
	}
}

func TestClient_ReadsTheSubjectsOneByOneWhereTheListDoesNotNameThem(t *testing.T) {
	c, f, k := connect(t)
	f.bareList.Store(true)
	files := catalogueFiles(t)
	done, err := c.Push(t.Context(), files, true)
	if err != nil {
		t.Fatal(err)
	}
	types, err := c.Types(t.Context())
	if err != nil || len(types) != len(files) {
		t.Fatalf("%d types of %d files: %v", len(types), len(files), err)
	}
	ids := map[int32]bool{}
	for _, change := range done {
		ids[change.ID] = true
	}
	for _, name := range types {
		if id, _, err := c.ByType(t.Context(), name); err != nil || !ids[id] {
			t.Errorf("%s: id %d (%v) is none of those pushed", name, id, err)
		}
	}
	k.advance(2 * freshFor)
	before := f.requests.Load()
	if _, err := c.Types(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked, most := f.requests.Load()-before, int64(len(files)+2); asked > most {
		t.Errorf("a refresh makes %d requests, want at most %d: a version is asked for once", asked, most)
	}
}

func TestPush_RefusesEverythingWhenOneFileBreaksARule(t *testing.T) {
	c, _, _ := connect(t)
	ctx := t.Context()
	text := func(fields string) schemas.File {
		return schemas.File{Path: "schemas/test/made.v1.avsc", Text: []byte(`{"type":"record","name":"TestMade","namespace":"neuronx.test.v1",
			"event_type":"test.made","doc":"A test.","fields":[` + fields + `]}`)}
	}
	id := `{"name":"id","type":"string","doc":"Id."}`
	more := `,{"name":"more","type":["null","string"],"default":null,"doc":"More."}`
	if _, err := c.Push(ctx, []schemas.File{text(id)}, true); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]schemas.File{
		"lint":         text(`{"name":"id","type":"string"}`),
		"not parsed":   text(`{"name":"id","type":{"type":"map","values":"string"},"doc":"Id."}`),
		"incompatible": text(id + `,{"name":"more","type":"string","doc":"More."}`),
	} {
		files := append(catalogueFiles(t)[:1:1], bad)
		changes, err := c.Push(ctx, files, true)
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		refused := 0
		for _, change := range changes {
			if change.Action == ActionRefused && change.Detail != "" && change.Path == bad.Path {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: no change says why: %+v", name, changes)
		}
		if types, err := c.Types(ctx); err != nil || len(types) != 1 {
			t.Errorf("%s: types are %v (%v), want test.made alone", name, types, err)
		}
	}
	if _, err := c.Push(ctx, []schemas.File{text(id + more)}, true); err != nil {
		t.Errorf("a compatible change was refused: %v", err)
	}
	if _, s, err := c.ByType(ctx, "test.made"); err != nil || !strings.Contains(string(s.Text()), `"more"`) {
		t.Errorf("the latest version is %v (%v)", s, err)
	}
}

func TestClient_RemembersUnknownIDs(t *testing.T) {
	c, f, k := connect(t)
	ctx := t.Context()
	for _, name := range []string{"A", "B", "C"} {
		register(t, f, name, record(name, "x"))
	}
	f.hideTwo.Store(true)
	if _, err := c.SchemaByID(ctx, 3); err != nil {
		t.Fatal(err)
	}
	ask := func(id int32, requests int64) {
		t.Helper()
		before := f.requests.Load()
		if _, err := c.SchemaByID(ctx, id); !errors.Is(err, ErrUnknown) {
			t.Errorf("id %d: %v", id, err)
		}
		if got := f.requests.Load() - before; got != requests {
			t.Errorf("id %d: %d requests, want %d", id, got, requests)
		}
	}
	ask(2, 1) // below the highest known: a minute
	ask(4, 1) // above it: a second
	k.advance(999 * time.Millisecond)
	ask(4, 0)
	k.advance(time.Millisecond)
	ask(4, 1)
	k.advance(58 * time.Second)
	ask(2, 0)
	k.advance(time.Second)
	ask(2, 1)
	ask(0, 0)
	ask(-1, 0)

	register(t, f, "D", record("D", "x"))
	if s, err := c.SchemaByID(ctx, 4); err != nil || s.FullName() != "test.v1.D" {
		t.Errorf("asked for too early, id 4 is %v (%v)", s, err)
	}
	before := f.requests.Load()
	k.advance(1000 * time.Hour)
	if _, err := c.SchemaByID(ctx, 4); err != nil || f.requests.Load() != before {
		t.Errorf("a known id was asked for again (%v)", err)
	}
}

func TestClient_BoundsWhatItRemembersAsUnknown(t *testing.T) {
	c := &Client{unknown: map[int32]refusal{}, byID: map[int32]*avro.Schema{}, now: time.Now}
	for id := int32(1); id <= 3*maxUnknown; id++ {
		if _, err := c.learn(id, sr.Schema{}, ErrUnknown); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
	}
	if len(c.unknown) > maxUnknown {
		t.Errorf("%d ids remembered", len(c.unknown))
	}
}

func TestClient_SaysUnavailableAndGoesOnWithWhatItKnows(t *testing.T) {
	c, f, k := connect(t)
	ctx := t.Context()
	if _, err := c.Push(ctx, catalogueFiles(t)[:3], true); err != nil {
		t.Fatal(err)
	}
	id, s, err := c.ByType(ctx, catalogueType(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	f.down.Store(true)
	k.advance(time.Hour)
	if again, _, err := c.ByType(ctx, s.EventType()); err != nil || again != id {
		t.Errorf("a known type: %d (%v)", again, err)
	}
	if _, err := c.SchemaByID(ctx, id); err != nil {
		t.Errorf("a known id: %v", err)
	}
	if _, err := c.SchemaByID(ctx, 999); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) {
		t.Errorf("an id nobody knows: %v", err)
	}
	if _, _, err := c.ByType(ctx, "no.such"); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) {
		t.Errorf("a type nobody knows: %v", err)
	}
	if _, err := c.Push(ctx, catalogueFiles(t)[:1], true); !errors.Is(err, ErrUnavailable) {
		t.Errorf("push: %v", err)
	}
	f.down.Store(false)
	k.advance(time.Minute)
	if _, err := c.SchemaByID(ctx, 999); !errors.Is(err, ErrUnknown) {
		t.Errorf("after it came back: %v", err)
	}
	if _, _, err := c.ByType(ctx, "no.such"); !errors.Is(err, ErrUnknown) {
		t.Errorf("after it came back: %v", err)
	}
}

func catalogueType(t *testing.T, i int) string {
	t.Helper()
	s, err := avro.Parse(catalogueFiles(t)[i].Text)
	if err != nil {
		t.Fatal(err)
	}
	return s.EventType()
}

func TestClient_SaysUnavailableWhenNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	c, err := NewClient(url, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.SchemaByID(t.Context(), 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a 404 of something else: %v", err)
	}
	server.Close()
	if _, err := c.SchemaByID(t.Context(), 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := c.Types(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("types: %v", err)
	}
}

func TestClient_SeesANewTypeAfterASecondAndANewVersionAfterAMinute(t *testing.T) {
	for _, noList := range []bool{false, true} {
		c, f, k := connect(t)
		f.noList.Store(noList)
		ctx := t.Context()
		text := func(fields ...string) string {
			return strings.Replace(record("Made", fields...), `"namespace"`, `"event_type":"test.made","namespace"`, 1)
		}
		if _, _, err := c.ByType(ctx, "test.made"); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		register(t, f, "neuronx.ingress-test.v1.Made", text("x"))
		k.advance(time.Second)
		first, _, err := c.ByType(ctx, "test.made")
		if err != nil {
			t.Fatal(err)
		}
		second := register(t, f, "neuronx.ingress-test.v1.Made", text("x", "y"))
		if id, _, err := c.ByType(ctx, "test.made"); err != nil || id != first {
			t.Errorf("id %d (%v) within the minute", id, err)
		}
		k.advance(time.Minute)
		if id, _, err := c.ByType(ctx, "test.made"); err != nil || int(id) != second {
			t.Errorf("id %d (%v) after a minute, want %d", id, err, second)
		}
	}
}

func TestClient_DoesNotLetAnotherRecordTakeOverAType(t *testing.T) {
	c, f, _ := connect(t)
	ctx := t.Context()
	named := func(namespace, name string) string {
		return `{"type":"record","name":"` + name + `","namespace":"` + namespace + `","event_type":"test.made","fields":[]}`
	}
	register(t, f, "neuronx.ingress-a.Other", named("a", "Other"))
	register(t, f, "neuronx.ingress-neuronx.test.v1.TestMade", named("neuronx.test.v1", "TestMade"))
	want := register(t, f, "neuronx.ingress-neuronx.test.v2.TestMade", named("neuronx.test.v2", "TestMade"))
	register(t, f, "neuronx.ingress-zz.TestMade", named("zz", "TestMade"))
	if id, s, err := c.ByType(ctx, "test.made"); err != nil || int(id) != want {
		t.Errorf("id %d %v (%v), want %d", id, s, err, want)
	}
}

func TestClient_NoOtherMajorTakesOverATypeOfTheCatalogue(t *testing.T) {
	c, f, k := connect(t)
	ctx := t.Context()
	other := func(major string) int {
		return register(t, f, "neuronx.ingress-neuronx.lead."+major+".LeadCreated",
			`{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.`+major+`","event_type":"lead.created","fields":[{"name":"foo","type":"string"}]}`)
	}
	ninth := other("v9")
	if id, _, err := c.ByType(ctx, "lead.created"); err != nil || int(id) != ninth { // ours is not pushed yet
		t.Errorf("id %d (%v), want %d", id, err, ninth)
	}
	if _, err := c.Push(ctx, catalogueFiles(t), true); err != nil {
		t.Fatal(err)
	}
	other("v10")
	k.advance(time.Minute)
	if _, s, err := c.ByType(ctx, "lead.created"); err != nil || s.FullName() != "neuronx.lead.v1.LeadCreated" {
		t.Errorf("lead.created is %s (%v)", s.FullName(), err)
	}
}

// A client that registers the canonical form of a schema loses every property; where the registry takes that, it is the latest version.
func TestClient_KnowsARecordOfTheCatalogueThatLostItsProperties(t *testing.T) {
	c, f, _ := connect(t)
	ctx := t.Context()
	if _, err := c.Push(ctx, catalogueFiles(t), true); err != nil {
		t.Fatal(err)
	}
	want, _, err := c.ByType(ctx, "lead.created")
	if err != nil {
		t.Fatal(err)
	}
	stripped := func(fields string) string {
		return `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","fields":[{"name":"lead_id","type":"string"}` + fields + `]}`
	}
	var latest int
	for _, text := range []string{stripped(""), stripped(`,{"name":"email","type":["null","string"],"default":null}`)} { // versions 1 and 2
		latest = register(t, f, "neuronx.ingress-copy", text)
	}
	s, err := c.SchemaByID(ctx, int32(latest))
	if err != nil || s.EventType() != "lead.created" {
		t.Fatalf("%v %q", err, s.EventType())
	}
	if p := s.Personal(); len(p) != 1 || p[0].Path != "email" {
		t.Errorf("personal are %+v", p)
	}
	body, err := s.EncodeJSON([]byte(`{"lead_id":"42"}`))
	if err != nil {
		t.Fatal(err)
	}
	if prefix, value := s.Subject("lead.created", body); prefix+string(value) != "lead/42" {
		t.Errorf("the subject is %s%s", prefix, value)
	}
	c.stale()
	if id, s, err := c.ByType(ctx, "lead.created"); err != nil || id != want || len(s.Personal()) < 4 {
		t.Errorf("id %d (%v), want %d", id, err, want)
	}
	if ids := c.Versions(want); len(ids) < 3 {
		t.Errorf("versions %v", ids)
	}
	foreign := register(t, f, "neuronx.ingress-value", `{"type":"record","name":"DealClosed","namespace":"acme.crm","fields":[{"name":"deal","type":"string"}]}`)
	if id, s, err := c.ByType(ctx, "acme.crm.deal_closed"); err == nil && (int(id) != foreign || s.EventType() != "") {
		t.Errorf("id %d, %v", id, err)
	}
	if s, err := c.SchemaByID(ctx, int32(foreign)); err != nil || s.EventType() != "" || s.ImpliedType() != "acme.crm.deal_closed" {
		t.Errorf("%v", err)
	}
}

func TestClient_WaitsOnlyAsLongAsItsCaller(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
	c, err := NewClient(server.URL, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.SchemaByID(ctx, 1); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(release)
	server.Close()
	c.Close()
}

func TestNewClient_RefusesAddressesThatAreNone(t *testing.T) {
	for _, address := range []string{"", "localhost:8081", "ftp://host", "http://", "http://u:secret@:x/\x00"} {
		_, err := NewClient(address, quiet())
		if err == nil {
			t.Errorf("%q was taken", address)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}
