package dev

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
)

func TestListen_ATakenPortNamesTheFlagsOfAllPortsAndHowMakeRunTakesThem(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = app.Listen(taken.Addr().String(), "registry-port")
	var r *event.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Next, "--registry-port") || !strings.Contains(r.Next, "RUN_FLAGS") {
		t.Fatal(err)
	}
	_, flags, _ := strings.Cut(r.Next, "RUN_FLAGS=")
	cmd := Command()
	for _, name := range []string{"http", "admin-addr", "kafka-port", "postgres-port", "registry-port", "crm-port"} {
		if cmd.Flags().Lookup(name) == nil || !strings.Contains(flags, "--"+name+" ") {
			t.Errorf("--%s is no flag of dev, or not named in %s", name, flags)
		}
	}
}
