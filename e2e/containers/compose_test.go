//go:build containers

package containers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// compose is the repository's own docker-compose.yml under a project of the test's, with ports that are free.
type compose struct {
	t       *testing.T
	project string
	env     []string
	ports   map[string]int
}

func newCompose(t *testing.T) *compose {
	c := &compose{t: t, project: fmt.Sprintf("neuronx-test-%d", os.Getpid()), env: os.Environ(), ports: map[string]int{}}
	for _, name := range []string{"HTTP", "KAFKA", "POSTGRES", "REGISTRY", "CRM", "PROMETHEUS"} {
		c.ports[name] = freePort(t)
		c.env = append(c.env, fmt.Sprintf("NEURONX_%s_PORT=%d", name, c.ports[name]))
	}
	return c
}

func (c *compose) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"compose", "-p", c.project}, args...)...)
	cmd.Dir, cmd.Env = root, c.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker compose %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

func (c *compose) run(ctx context.Context, args ...string) string {
	c.t.Helper()
	out, err := c.command(ctx, args...)
	must(c.t, err)
	return out
}

// neuronx runs the operators' tool.
func (c *compose) neuronx(ctx context.Context, args ...string) string {
	c.t.Helper()
	return c.run(ctx, append([]string{"run", "--rm", "-T", "neuronx"}, args...)...)
}

func (c *compose) url(port string) string { return fmt.Sprintf("http://127.0.0.1:%d", c.ports[port]) }

// buildImage makes the image unless NEURONX_IMAGE names one that is there.
func (c *compose) buildImage(ctx context.Context) {
	c.t.Helper()
	image := os.Getenv("NEURONX_IMAGE")
	if image == "" {
		image = "neuronx/engine:test"
		began := time.Now()
		cmd := exec.CommandContext(ctx, "docker", "build", "-q", "-t", image, "-f", "deploy/docker/Dockerfile", ".")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			c.t.Fatalf("docker build: %v\n%s", err, out)
		}
		c.t.Logf("the image is built after %s", time.Since(began).Round(time.Second))
	}
	c.env = append(c.env, "NEURONX_IMAGE="+image)
}

func TestCompose_ALeadTravelsFromHTTPToReadModelAndCRM(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	c := newCompose(t)
	c.buildImage(ctx)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			if logs, err := c.command(ctx, "logs", "--no-color", "--tail", "15"); err == nil {
				t.Log(logs)
			}
		}
		if _, err := c.command(ctx, "down", "-v", "-t", "5"); err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	c.run(ctx, "--profile", "dashboards", "config", "--quiet") // Grafana's image is not built here: its service is only checked
	c.run(ctx, "up", "-d", "--wait", "--wait-timeout", "420")
	t.Logf("everything is healthy after %s", time.Since(began).Round(time.Second))

	c.neuronx(ctx, "doctor", "--laptop")
	c.neuronx(ctx, "tenant", "create", "demo", "--execute")
	key := c.neuronx(ctx, "key", "issue", "--tenant", "demo", "-q", "--execute")
	c.neuronx(ctx, "crm", "connect", "demo", "--location", "demo", "--token", "secret://demo-crm@1", "--mode", "send", "--execute")
	rules, err := filepath.Abs(filepath.Join(root, "services", "neuronx", "demo", "rules"))
	must(t, err)
	c.run(ctx, "run", "--rm", "-T", "-v", rules+":/rules:ro", "neuronx", "rules", "publish", "/rules", "--tenant", "demo", "--execute")

	post(ctx, t, c.url("HTTP"), key, "lead-1", `{"lead_id":"1","email":"ada@example.com","channel":"referral"}`)
	query := func(sql string) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			return c.command(ctx, "exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "neuronx", "-At", "-c", sql)
		}
	}
	expect(ctx, t, "the lead in read.leads", "ada@example.com", query(`SELECT email FROM read.leads WHERE tenant_id = 'demo' AND lead_id = '1'`))
	expect(ctx, t, "the lead in the archive", "1", query(`SELECT count(*) FROM neuronx.tenant_events WHERE tenant_id = 'demo' AND event_id = 'lead-1'`))

	expect(ctx, t, "the contact in the CRM", "ada@example.com", func(ctx context.Context) (string, error) {
		body, err := get(ctx, c.url("CRM")+"/_standin/contacts?location=demo")
		if strings.Contains(body, "ada@example.com") {
			return "ada@example.com", nil
		}
		return body, err
	})
	expect(ctx, t, "every process in Prometheus", "6", func(ctx context.Context) (string, error) {
		body, err := get(ctx, c.url("PROMETHEUS")+"/api/v1/query?query=sum(up%7Bjob%3D%22neuronx%22%7D)")
		if i := strings.LastIndex(body, `,"`); err == nil && i >= 0 {
			body = strings.Trim(body[i+1:], `"]}`+"\n")
		}
		return body, err
	})
}

func post(ctx context.Context, t *testing.T, base, key, id, data string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/events", strings.NewReader(data))
	must(t, err)
	for name, value := range map[string]string{
		"Authorization": "Bearer " + key, "Content-Type": "application/json", "ce-specversion": "1.0", "ce-type": "lead.created",
		"ce-source": "/containers", "ce-id": id,
	} {
		req.Header.Set(name, value)
	}
	_, err = send(req)
	must(t, err)
}

// expect asks until the answer is want.
func expect(ctx context.Context, t *testing.T, what, want string, ask func(context.Context) (string, error)) {
	t.Helper()
	began := time.Now()
	eventually(ctx, t, time.Minute, func(ctx context.Context) error {
		got, err := ask(ctx)
		if err == nil && got != want {
			err = fmt.Errorf("%s: %q, want %q", what, got, want)
		}
		return err
	})
	t.Logf("%s after %s", what, time.Since(began).Round(100*time.Millisecond))
}
