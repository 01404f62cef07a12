package status

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Process is what one process says of itself at its admin port.
type Process struct {
	URL        string          `json:"url"`
	Answers    bool            `json:"answers"`
	Ready      bool            `json:"ready"`
	Detail     string          `json:"detail,omitempty"`     // why it is not ready, or why there is no answer
	Components []app.Component `json:"components,omitempty"` // nil: the process does not tell
}

// maxWaits bounds what is told of a process at once: when Postgres is away, everything in it waits for the same.
const maxWaits = 3

// Waits lists what the process waits for, in its own words, each on a short line. Components has all of it.
func (p *Process) Waits() []string {
	var out []string
	more := 0
	for _, c := range p.Components {
		switch {
		case c.Ready:
		case len(out) == maxWaits:
			more++
		default:
			c.Reason = operate.Brief(c.Reason)
			out = append(out, c.String())
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d more (-o json tells all)", more))
	}
	return out
}

// Lost lists the dependencies that the process lost lately and has again, and whether one of them is lost again and again.
func (p *Process) Lost() (out []string, flapping bool) {
	for i := range p.Components {
		c := &p.Components[i]
		if c.Lost == nil {
			continue
		}
		l := *c.Lost
		l.Reason = operate.Brief(l.Reason)
		flapping = flapping || l.Flapping
		out = append(out, c.Name+" was "+l.String())
	}
	if more := len(out) - maxWaits; more > 0 {
		out = append(out[:maxWaits], fmt.Sprintf("%d more (-o json tells all)", more))
	}
	return out, flapping
}

// AdminURLs are the admin ports that are known: those that are named, else dev's.
func AdminURLs(env *operate.Env, named []string) []string {
	if len(named) > 0 {
		return named
	}
	if u := env.Value(operate.EnvAdminURL); u != "" {
		return []string{u}
	}
	return nil
}

// Processes asks every admin port, side by side, for at most 5 s.
func Processes(ctx context.Context, client *http.Client, urls []string) []Process {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := make([]Process, len(urls))
	var asking sync.WaitGroup
	for i, url := range urls {
		asking.Go(func() { out[i] = process(ctx, client, url) })
	}
	asking.Wait()
	return out
}

func process(ctx context.Context, client *http.Client, url string) Process {
	row := Process{URL: url}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/readyz", nil)
	if err != nil {
		row.Detail = "this is no URL"
		return row
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		row.Detail = err.Error()
		return row
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		row.Detail = err.Error()
		return row
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		row.Detail = "it answers " + res.Status + ": is this an admin port of the engine?"
		return row
	}
	row.Answers, row.Ready = true, res.StatusCode == http.StatusOK
	var told struct {
		Error      string          `json:"error"`
		Components []app.Component `json:"components"`
	}
	if err := json.Unmarshal(body, &told); err != nil {
		row.Detail = strings.TrimSpace(fmt.Sprintf("%.600s", body))
		return row
	}
	row.Detail, row.Components = told.Error, told.Components
	return row
}

// Ready asks the process at an admin URL whether it is ready; nil is yes.
func Ready(ctx context.Context, env *operate.Env, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/readyz", nil)
	if err != nil {
		return operate.Usage("%q is no URL", url)
	}
	res, err := env.HTTP.Do(req)
	if err != nil {
		return operate.Fail("not ready", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return operate.Fail("not ready", err)
	}
	if text := strings.TrimSpace(string(b)); res.StatusCode != http.StatusOK {
		return operate.Fail("not ready", nil).Because("%s: %s", res.Status, text)
	}
	return nil
}
