package cli

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

// processRow is what one process says of itself at its admin port.
type processRow struct {
	URL        string          `json:"url"`
	Answers    bool            `json:"answers"`
	Ready      bool            `json:"ready"`
	Detail     string          `json:"detail,omitempty"`     // why it is not ready, or why there is no answer
	Components []app.Component `json:"components,omitempty"` // nil: the process does not tell
}

// maxWaits bounds what is told of a process at once: when Postgres is away, everything in it waits for the same.
const maxWaits = 3

// waits lists what the process waits for, in its own words, each on a short line. Components has all of it.
func (p *processRow) waits() []string {
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

// lost lists the dependencies that the process lost lately and has again, and whether one of them is lost again and again.
func (p *processRow) lost() (out []string, flapping bool) {
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

// adminURLs are the admin ports that are known: those that the flag --admin names, else dev's.
func (c *cli) adminURLs(flag []string) []string {
	if len(flag) > 0 {
		return flag
	}
	if u := c.value(operate.EnvAdminURL); u != "" {
		return []string{u}
	}
	return nil
}

const adminHelp = "URLs of the processes' admin ports, comma-separated (default: dev's)"

// processes asks every admin port, side by side, for at most 5 s.
func (c *cli) processes(ctx context.Context, urls []string) []processRow {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := make([]processRow, len(urls))
	var asking sync.WaitGroup
	for i, url := range urls {
		asking.Go(func() { out[i] = c.process(ctx, url) })
	}
	asking.Wait()
	return out
}

func (c *cli) process(ctx context.Context, url string) processRow {
	row := processRow{URL: url}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/readyz", nil)
	if err != nil {
		row.Detail = "this is no URL"
		return row
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.env.HTTP.Do(req)
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
