package cli

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// call runs the tool with no environment and returns its exit code and what it wrote.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c := &cli{
		out: &out, err: &errs, in: strings.NewReader(""), getenv: func(string) (string, bool) { return "", false }, now: time.Now,
		http: http.DefaultClient, settings: map[string]*string{},
	}
	t.Chdir(t.TempDir()) // no dev.env
	code = c.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestStatus_SaysWhatAProcessWaitsForAndWhatIsNotKnown(t *testing.T) {
	ready := app.NewReadiness()
	ready.Set("rules", nil)
	ready.Set(app.ComponentPostgres, errors.New("the disk of Postgres is full"))
	adm := httptest.NewServer(app.AdminHandler(prometheus.NewRegistry(), ready, nil))
	defer adm.Close()
	defer http.DefaultClient.CloseIdleConnections()
	code, out, errs := call(t, "status", "--admin", adm.URL)
	if code != exitPartial {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"postgres: the disk of Postgres is full, since ", "groups:        not known", "tenants:       not known", "outbox:        not known", "stalled:       not known"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "none") || !strings.Contains(errs, "Kafka is not configured") {
		t.Errorf("%s\n%s", out, errs)
	}
}

func TestStatusAndDoctor_TellADependencyThatIsLostAgainAndAgainWhileItIsThere(t *testing.T) {
	ready := app.NewReadiness()
	adm := httptest.NewServer(app.AdminHandler(prometheus.NewRegistry(), ready, nil))
	defer adm.Close()
	defer http.DefaultClient.CloseIdleConnections()
	lineOf := func(out, part string) string {
		for _, line := range strings.Split(out, "\n") {
			if strings.Contains(line, part) {
				return line
			}
		}
		return ""
	}
	for times, want := range []string{"ok", "warn", "fail"} {
		if times > 0 {
			ready.Set(app.ComponentPostgres, errors.New("no answer in 5s"))
		}
		ready.Set(app.ComponentPostgres, nil)
		code, out, _ := call(t, "doctor", "--admin", adm.URL)
		line := lineOf(out, adm.URL)
		if fields := strings.Fields(line); len(fields) < 2 || fields[1] != want || (code == exitFailed) != (want == "fail") {
			t.Errorf("lost %d times: doctor exits with %d: %s", times, code, line)
		}
		_, out, errs := call(t, "status", "--admin", adm.URL)
		if told := lineOf(out, adm.URL); (times > 0) != strings.Contains(told, "postgres was lost") || !strings.Contains(told, "yes") {
			t.Errorf("lost %d times: status shows %s", times, told)
		}
		if wrong := strings.Contains(errs, "is ready, but not for long: postgres was lost 2 times in the last 10 minutes"); wrong != (times == 2) {
			t.Errorf("lost %d times: status says %s", times, errs)
		}
	}
}

func TestStatus_JudgesWhatIsWrong(t *testing.T) {
	o := overview{
		Processes: []processRow{{URL: "http://a", Answers: true, Ready: true}, {URL: "http://b", Detail: "connection refused"}},
		Groups:    []groupRow{{Group: "neuronx.rules", Members: 0, Lag: 7}, {Group: "neuronx.projector", Members: 1, Lag: 7}},
		Stalled:   []stalledRow{{Consumer: "neuronx.rules", Tenant: "acme"}, {Consumer: "neuronx.archiver", Tenant: "acme"}}, // one tenant
	}
	o.judge()
	if got := strings.Join(o.Wrong, "; "); got != "http://b does not answer: connection refused; nobody reads as neuronx.rules; 1 stalled tenant" {
		t.Error(got)
	}
	if next := o.Stalled[0].next(); next != "neuronx stalled retry --consumer rules --tenant acme" {
		t.Error(next)
	}
	control := stalledRow{Consumer: "neuronx.projector.control", Tenant: "acme"}
	if next := control.next(); next != "neuronx stalled retry --consumer projector --feed control --tenant acme" {
		t.Error(next)
	}
	fine := overview{Processes: []processRow{{Answers: true, Ready: true}}, Groups: []groupRow{{Group: "x", Members: 0, Lag: 0}}}
	if fine.judge(); len(fine.Wrong) > 0 {
		t.Error(fine.Wrong)
	}
}

func TestStatusAndDoctor_SayFirstThatNothingRuns(t *testing.T) {
	dead := []string{"--kafka-brokers", "127.0.0.1:1", "--postgres-url", "postgres://u:hunter2@127.0.0.1:1/x", "--schema-registry-url", "http://127.0.0.1:1", "--admin-url", "http://127.0.0.1:1"}
	for _, verb := range []string{"doctor", "status"} {
		if code, out, errs := call(t, verb); code != exitFailed || out != "" || !strings.Contains(errs, "nothing is configured, so nothing was looked at") || !strings.Contains(errs, "start `make run`") {
			t.Errorf("%s: exit %d: %s%s", verb, code, out, errs)
		}
		code, out, errs := call(t, append([]string{verb}, dead...)...)
		if code != exitFailed || out != "" || !strings.HasPrefix(errs, "error: the engine is not running") || !strings.Contains(errs, "start `make run`") || strings.Contains(errs, "hunter2") {
			t.Errorf("%s: exit %d: %s%s", verb, code, out, errs)
		}
	}
}

func TestDoctor_TellsAPartThatIsAwayAndSkipsWhatNeedsIt(t *testing.T) {
	code, out, _ := call(t, "doctor", "--kafka-brokers", "127.0.0.1:1", "--postgres-url", "postgres://u:hunter2@127.0.0.1:1/x", "--schema-registry-url", "http://127.0.0.1:1", "--admin", "http://127.0.0.1:1")
	if code != exitFailed || strings.Contains(out, "hunter2") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for check, want := range map[string]string{
		"kafka  ": "fail", "kafka: disks": "Kafka does not answer", "registry": "fail", "postgres  ": "fail",
		"postgres: writes": "Postgres does not answer", "processes": "does not answer",
	} {
		found := false
		for _, line := range strings.Split(out, "\n") {
			found = found || strings.HasPrefix(line, check) && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("%s: no %q in\n%s", check, want, out)
		}
	}
}

func TestDoctor_JudgesDisksConsumersAndAuthentication(t *testing.T) {
	disks := judgeDisks([]admin.Disk{
		{Broker: 1, Dir: "/a", Total: 1000, Usable: 500}, {Broker: 2, Dir: "/b", Total: 1000, Usable: 50}, {Broker: 3, Dir: "/c", Total: 1000, Usable: 5},
		{Broker: 4, Dir: "/d", Total: -1, Usable: -1, Err: errors.New("offline")},
	})
	if len(disks) != 3 || disks[0].Result != checkWarn || disks[1].Result != checkFail || disks[2].Result != checkFail {
		t.Errorf("%+v", disks)
	}
	if f := judgeDisks([]admin.Disk{{Total: -1, Usable: -1}}); f[0].Result != checkSkipped {
		t.Errorf("%+v", f)
	}
	idle := map[string]time.Duration{"neuronx.rules": 4 * time.Minute, "neuronx.projector": time.Second}
	if f := moves("neuronx.rules", 1, 10, idle); f == nil || !strings.Contains(f.Detail, "has written nothing for 4m0s, and 10 records wait") {
		t.Errorf("%+v", f)
	}
	if f := moves("neuronx.archiver", 0, 10, idle); f == nil || f.Result != checkFail {
		t.Errorf("%+v", f)
	}
	if moves("neuronx.projector", 1, 10, idle) != nil || moves("neuronx.rules", 1, 0, idle) != nil {
		t.Error("a consumer that moves, or has read all, is called stuck")
	}
	if f := authenticated(app.KafkaSecurity{}); f.Result != checkWarn || f.Detail != openLog {
		t.Errorf("%+v", f)
	}
	if f := authenticated(app.KafkaSecurity{Username: "neuronx_ops", TLS: true}); f.Result != checkOK {
		t.Errorf("%+v", f)
	}
}
