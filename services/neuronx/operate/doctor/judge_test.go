package doctor

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// session is a session with settings of its own.
func session(settings map[string]string) *examination {
	return &examination{&operate.Env{Value: func(name string) string { return settings[name] }, Note: func(string, ...any) {}, Log: slog.New(slog.DiscardHandler), HTTP: http.DefaultClient, Now: time.Now}}
}

func TestDoctor_JudgesDisksConsumersAndAuthentication(t *testing.T) {
	disks := judgeDisks([]admin.Disk{
		{Broker: 1, Dir: "/a", Total: 1000, Usable: 500}, {Broker: 2, Dir: "/b", Total: 1000, Usable: 50}, {Broker: 3, Dir: "/c", Total: 1000, Usable: 5},
		{Broker: 4, Dir: "/d", Total: -1, Usable: -1, Err: errors.New("offline")},
	})
	if len(disks) != 3 || disks[0].Result != Warn || disks[1].Result != Failed || disks[2].Result != Failed {
		t.Errorf("%+v", disks)
	}
	if f := judgeDisks([]admin.Disk{{Total: -1, Usable: -1}}); f[0].Result != Skipped {
		t.Errorf("%+v", f)
	}
	idle := map[string]time.Duration{"neuronx.rules": 4 * time.Minute, "neuronx.projector": time.Second}
	if f := moves("neuronx.rules", 1, 10, idle); f == nil || !strings.Contains(f.Detail, "has written nothing for 4m0s, and 10 records wait") {
		t.Errorf("%+v", f)
	}
	if f := moves("neuronx.archiver", 0, 10, idle); f == nil || f.Result != Failed {
		t.Errorf("%+v", f)
	}
	if moves("neuronx.projector", 1, 10, idle) != nil || moves("neuronx.rules", 1, 0, idle) != nil {
		t.Error("a consumer that moves, or has read all, is called stuck")
	}
	if f := authenticated(app.KafkaSecurity{}); f.Result != Warn || f.Detail != openLog {
		t.Errorf("%+v", f)
	}
	if f := authenticated(app.KafkaSecurity{Username: "neuronx_ops", TLS: true}); f.Result != OK {
		t.Errorf("%+v", f)
	}
}

func TestSkew_JudgesByWhatTheSequencerTolerates(t *testing.T) {
	for d, want := range map[time.Duration]string{0: OK, -time.Second: OK, 5 * time.Second: Warn, -31 * time.Second: Failed} {
		if got := skew(d).Result; got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}
