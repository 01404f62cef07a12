package membership

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestBalancer_GivesUpTheClaimsOfAMemberThatItIsNoMore(t *testing.T) {
	var out bytes.Buffer
	b := New(slog.New(slog.NewTextHandler(&out, nil)))
	id := ""
	b.MemberID = func() string { return id }
	claims := map[string][]int32{"neuronx.events": {0, 3}}

	if b.Join(nil) || b.Sync() {
		t.Error("the first join has no claims to give up")
	}
	if id = "member-1"; b.Sync() {
		t.Error("the first assignment follows no such join")
	}
	if b.Join(claims) || b.Sync() {
		t.Error("a member that is still the same keeps its claims")
	}
	id = "" // the group knows it no more
	if !b.Join(claims) {
		t.Error("claims of a member that was thrown out are kept")
	}
	if id = "member-2"; !b.Join(claims) {
		t.Error("a new member keeps the claims of the old one")
	}
	if n := strings.Count(out.String(), "joins as a new member"); n != 1 {
		t.Errorf("logged %d times, want once for the two requests of one join", n)
	}
	if !b.Sync() {
		t.Error("the assignment after such a join does not tell of it")
	}
	if b.Join(claims) || b.Sync() {
		t.Error("the new member does not keep its own claims")
	}
}

func TestOurs_GoesByHowTheIDBegins(t *testing.T) {
	for id, want := range map[string]bool{"neuronx-rules-0-1f2e": true, "rdkafka-1f2e": false, "my-neuronx-tool": false, "": false} {
		if Ours(id) != want {
			t.Errorf("Ours(%q) is not %v", id, want)
		}
	}
}
