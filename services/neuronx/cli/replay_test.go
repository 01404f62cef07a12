package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

func TestReplay_PlansExportsExecutesAndGoesBack(t *testing.T) {
	t.Chdir(t.TempDir())
	broker := kafkatest.Start(t)
	adm, err := admin.New(broker)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 {
		kafkatest.Produce(t, broker, kafka.RecordedToRecord(&event.Recorded{Event: event.Event{TenantID: "acme", ID: fmt.Sprint("e", i), Source: "/t", Type: "tenant.suspended", Time: at, Value: event.Frame(1, []byte{0})},
			Sequence: int64(i + 1), Position: event.PositionAt(at.UnixMilli()) + int64(i), RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111"}))
	}
	tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)}
	var asked []string
	refuse := ""
	dev := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if refuse != "" && strings.HasSuffix(r.URL.Path, refuse) {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer dev.Close()
	env := map[string]string{operate.EnvBrokers: strings.Join(broker.Brokers, ","), operate.EnvAdminURL: dev.URL + "/"}
	committed := func() kafka.Committed {
		t.Helper()
		all, err := adm.Committed(t.Context(), kafka.GroupProjector)
		if err != nil {
			t.Fatal(err)
		}
		return all[tp]
	}
	lag := func(want int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
		defer cancel()
		if got, err := status.Lag(ctx, adm, kafka.GroupProjector); err != nil || got != want {
			t.Errorf("lag %d, %v; want %d", got, err, want)
		}
	}
	replay := func(code int, line string, want ...string) (out string) {
		t.Helper()
		got, out, errs := try(t, env, strings.Fields("replay offsets --group neuronx.projector "+line)...)
		text := strings.Join(strings.Fields(out+errs), " ")
		for _, w := range want {
			if got != code || !strings.Contains(text, w) {
				t.Errorf("%s: exit %d, want %d with %q\n%s%s", line, got, code, w, out, errs)
			}
		}
		return out
	}
	row := func(offset int) string {
		return fmt.Sprintf("neuronx.projector neuronx.events %d %d", tp.Partition, offset)
	}
	only := fmt.Sprintf("--topic neuronx.events:%d ", tp.Partition)
	lag(3)
	replay(exitOK, "--topic neuronx.events --to-latest", row(3), "neither --execute nor --dry-run was given")
	if out, errs := replay(exitOK, only+"--to-latest --dry-run", row(3)), committed(); strings.Contains(out, "neither") || errs.Present {
		t.Errorf("a dry run: %s, %+v", out, errs)
	}
	replay(exitOK, only+"--to-datetime 2100-01-01T00:00:00.000", row(3))
	replay(exitOK, only+"--to-datetime 2000-01-01T00:00:00.000", row(0))
	replay(exitOK, only+"--by-duration PT1H", row(0))
	plan := replay(exitOK, "--topic neuronx.events --to-latest --export", fmt.Sprintf("neuronx.events,%d,3", tp.Partition))
	if n := strings.Count(plan, "\n"); n != kafkatest.Partitions {
		t.Errorf("%d lines are exported:\n%s", n, plan)
	}
	if err := os.WriteFile("plan.csv", []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	replay(exitFailed, "--from-file nowhere.csv", "read the offsets")
	replay(exitOK, "--from-file plan.csv --execute", row(3), "to undo:", fmt.Sprintf("neuronx.events,%d,-1", tp.Partition))
	if c := committed(); c.Offset != 3 || !strings.HasPrefix(c.Metadata, "nx-reset:") {
		t.Errorf("after the plan: %+v", c)
	}
	lag(0)
	replay(exitOK, only+"--to-offset 1 --execute", row(1), fmt.Sprintf("neuronx.events,%d,3", tp.Partition))
	lag(2)
	replay(exitOK, only+"--shift-by -1", row(0))
	replay(exitOK, only+"--shift-by 1 --dry-run", row(2))
	replay(exitOK, "--all-topics --to-current", row(1))
	if len(asked) != 0 {
		t.Errorf("without --restart dev is asked: %v", asked)
	}
	replay(exitOK, only+"--to-earliest --execute --restart", row(0), "stop: projector", "start: projector")
	if want := []string{"POST /services/projector/stop", "POST /services/projector/start"}; !slices.Equal(asked, want) {
		t.Errorf("dev was asked %v, want %v", asked, want)
	}
	refuse = "stop"
	replay(exitFailed, only+"--to-latest --execute --restart", "stop projector", "500")
	if c := committed(); c.Offset != 0 || len(asked) != 3 {
		t.Errorf("after a stop that failed: %+v, asked %v", c, asked)
	}
	refuse = "start"
	replay(exitFailed, only+"--to-latest --execute --restart", "start projector", "500")
	if c := committed(); c.Offset != 3 {
		t.Errorf("after a start that failed: %+v", c)
	}
	leave := kafkatest.Join(t, broker, kafka.GroupProjector, kafka.TopicEvents)
	replay(exitUnsafe, only+"--to-offset 1 --execute", "is inactive", "stop its service first")
	leave()
	if c := committed(); c.Offset != 3 {
		t.Errorf("a group in use was reset: %+v", c)
	}
}
