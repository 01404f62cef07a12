//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
)

// What `rules publish` says is what the rules service did: it waits until the bundle is in force, and tells when it is not.
func TestRulesPublish_SaysWhatIsInForce(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})
	id := c.Tenants(t, "publish", 1, 0)[0].ID // with version 1
	service := c.Processes["rules"]
	bundle := func(score int) string {
		file := filepath.Join(c.Dir, fmt.Sprintf("above-%d.yaml", score))
		noError(t, os.WriteFile(file, fmt.Appendf(nil, `apiVersion: neuronx/v1
kind: Rule
metadata:
  name: qualify
spec:
  on: [lead.scored]
  when: data.score > %d
  emit:
    - type: lead.qualified
      data: {lead_id: data.lead_id}
`, score), 0o600))
		return file
	}
	type said struct {
		text string
		code int
	}
	publish := func(score int, patience time.Duration) said {
		out, stderr, code := c.CLI(ctx, "rules", "publish", bundle(score), "--tenant", id, "--execute", "--timeout", patience.String())
		return said{out + stderr, code}
	}
	expect := func(got said, code int, text string) {
		t.Helper()
		if got.code != code || !strings.Contains(got.text, text) {
			t.Errorf("exit %d, want %d and %q:\n%s", got.code, code, text, got.text)
		}
	}

	expect(publish(10, time.Minute), 0, "version 2 is in force")
	expect(publish(20, time.Minute), 0, "version 3 is in force")

	service.Signal(syscall.SIGSTOP)
	expect(publish(30, 5*time.Second), 3, "neuronx.rules has not taken it in yet")
	service.Signal(syscall.SIGCONT)
	noError(t, c.WaitIdle(ctx, time.Minute))
	expect(publish(30, time.Minute), 0, "version 4 is in force and is the same")

	// Two people at once: the first in the log wins, the second is told.
	service.Signal(syscall.SIGSTOP)
	both := make(chan said, 2)
	for _, score := range []int{40, 50} {
		go func() { both <- publish(score, time.Minute) }()
	}
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		log, err := c.Log(ctx)
		n := 0
		for i := range log {
			if log[i].Type == "rules.published" {
				n++
			}
		}
		if err == nil && n < 6 {
			err = fmt.Errorf("%d of 6 bundles are in the log", n)
		}
		return err
	}))
	service.Signal(syscall.SIGCONT)
	first, second := <-both, <-both
	if first.code != 0 {
		first, second = second, first
	}
	expect(first, 0, "version 5 is in force")
	expect(second, 1, "version 5 was published meanwhile")
}
