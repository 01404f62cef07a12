package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// gathering answers nothing about a subject until so many are asked for at once, and then that each is unknown.
type gathering struct {
	want          int64
	full          chan struct{}
	arrived, busy atomic.Int64
	most          atomic.Int64
}

func (g *gathering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/versions") {
		http.NotFound(w, r)
		return
	}
	now := g.busy.Add(1)
	defer g.busy.Add(-1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	if g.arrived.Add(1) == g.want {
		close(g.full)
	}
	select {
	case <-g.full:
		answerError(w, refuse(codeSubjectNotFound, "unknown"))
	case <-r.Context().Done():
	}
}

func TestPush_PlansAFewSubjectsAtATimeSoThatADistantRegistryIsNotTakenForOneThatIsAway(t *testing.T) {
	g := &gathering{want: atOnce, full: make(chan struct{})}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	files := catalogueFiles(t)
	changes, err := c.Push(t.Context(), files, false)
	if err != nil {
		t.Fatalf("with %d subjects asked for at most: %v", g.most.Load(), err)
	}
	if most := g.most.Load(); most != atOnce {
		t.Errorf("%d subjects are asked for at a time, want %d", most, atOnce)
	}
	if len(changes) != 2*len(files) {
		t.Fatalf("%d changes for %d files", len(changes), len(files))
	}
	for i, change := range changes { // in the order of the files, whichever answer came first
		if f := files[i/2]; change.Path != f.Path || change.Action != ActionRegister || change.Subject == "" {
			t.Errorf("change %d is %+v, want register of %s", i, change, f.Path)
		}
	}
}
