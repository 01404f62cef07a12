package cli

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
)

// call runs the tool with no environment and returns its exit code and what it wrote.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	t.Chdir(t.TempDir()) // no dev.env
	code = tool(nil, &out, &errs).run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestStatus_SaysWhatAProcessWaitsForAndWhatIsNotKnown(t *testing.T) {
	ready := app.NewReadiness()
	ready.Set("rules", nil)
	ready.Set(app.ComponentPostgres, errors.New("the disk of Postgres is full"))
	admin := httptest.NewServer(app.AdminHandler(prometheus.NewRegistry(), ready, nil))
	defer admin.Close()
	defer http.DefaultClient.CloseIdleConnections()
	code, out, errs := call(t, "status", "--admin", admin.URL)
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
	admin := httptest.NewServer(app.AdminHandler(prometheus.NewRegistry(), ready, nil))
	defer admin.Close()
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
		code, out, _ := call(t, "doctor", "--admin", admin.URL)
		line := lineOf(out, admin.URL)
		if fields := strings.Fields(line); len(fields) < 2 || fields[1] != want || (code == exitFailed) != (want == "fail") {
			t.Errorf("lost %d times: doctor exits with %d: %s", times, code, line)
		}
		_, out, errs := call(t, "status", "--admin", admin.URL)
		if told := lineOf(out, admin.URL); (times > 0) != strings.Contains(told, "postgres was lost") || !strings.Contains(told, "yes") {
			t.Errorf("lost %d times: status shows %s", times, told)
		}
		if wrong := strings.Contains(errs, "is ready, but not for long: postgres was lost 2 times in the last 10 minutes"); wrong != (times == 2) {
			t.Errorf("lost %d times: status says %s", times, errs)
		}
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
