package demo

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Tenant is the tenant that dev makes and feeds.
const Tenant = "demo"

// demoFiles are the rules and workflows of the demo tenant. They lie apart: what is measured and compared with the demo's rules keeps its meaning.
//
//go:embed rules workflows
var demoFiles embed.FS

// Rules returns the demo tenant's files of rules and workflows by name, tests included.
func Rules() (map[string]string, error) {
	out := map[string]string{}
	err := fs.WalkDir(demoFiles, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := demoFiles.ReadFile(p)
		out[path.Base(p)] = string(b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the demo rules: %w", err)
	}
	return out, nil
}

var (
	firstNames = []string{"Ada", "Alan", "Barbara", "Claude", "Donald", "Edsger", "Frances", "Grace", "Hedy", "John", "Katherine", "Leslie", "Margaret", "Niklaus", "Radia", "Tim"}
	lastNames  = []string{"Almeida", "Bauer", "Costa", "Dubois", "Eriksen", "Ferrari", "Garcia", "Hoffmann", "Ivanova", "Jansen", "Kowalski", "Lopez", "Moreau", "Novak", "Okafor", "Peters"}
	channels   = []string{Referral, "organic_search", "paid_search", "social", "email", "direct"}
)

// Referral is the channel of the leads that the workflow call-back hears; the first lead has it, and then each sixth.
const Referral = "referral"

// CallsAfter is how long the demo takes to call a referral: later than the minute after which the workflow passes it on.
const CallsAfter = 90 * time.Second

// lead makes up the nth person who was never there.
func lead(n int) (id string, data map[string]any) {
	first, last := firstNames[rand.IntN(len(firstNames))], lastNames[rand.IntN(len(lastNames))]
	id = strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	return id, map[string]any{
		"lead_id": id, "first_name": first, "last_name": last,
		"email":   fmt.Sprintf("%s.%s.%s@example.com", strings.ToLower(first), strings.ToLower(last), id[:6]),
		"phone":   fmt.Sprintf("+1555%07d", rand.IntN(10_000_000)),
		"channel": channels[n%len(channels)], "source": "demo",
	}
}

// Traffic posts a demo lead every interval until ctx ends, and calls each referral CallsAfter later, as a sales person would. What fails is
// logged and not repeated: the next lead comes anyway.
func Traffic(ctx context.Context, url, key string, interval time.Duration, log *slog.Logger) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var waiting calls
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		id, data := lead(n)
		err := post(ctx, client, url, key, posted{Type: "lead.created", Source: "/demo/website", ID: "demo-" + id, Lead: id, Data: data})
		if err == nil && data["channel"] == Referral {
			waiting.add(id, time.Now())
		}
		for _, id := range waiting.due(time.Now()) {
			err = errors.Join(err, post(ctx, client, url, key, posted{Type: "lead.contacted", Source: "/demo/sales", ID: "demo-call-" + id, Lead: id,
				Data: map[string]any{"lead_id": id, "channel": "phone", "direction": "outbound"}}))
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("a demo event was not accepted", "err", err)
		}
	}
}

// calls are the leads that the demo will call, in the order in which they came.
type calls []call

type call struct {
	lead string
	came time.Time
}

func (c *calls) add(lead string, came time.Time) { *c = append(*c, call{lead, came}) }

// due takes out the leads that are to be called by now.
func (c *calls) due(now time.Time) (leads []string) {
	for len(*c) > 0 && now.Sub((*c)[0].came) >= CallsAfter {
		leads, *c = append(leads, (*c)[0].lead), (*c)[1:]
	}
	return leads
}

// posted is an event about a lead.
type posted struct {
	Type, Source, ID, Lead string
	Data                   map[string]any
}

func post(ctx context.Context, client *http.Client, url, key string, e posted) error {
	body, err := json.Marshal(e.Data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Type, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post %s: %w", e.Type, err)
	}
	for k, v := range map[string]string{
		"Authorization": "Bearer " + key, "Content-Type": "application/json", "ce-specversion": "1.0",
		"ce-type": e.Type, "ce-source": e.Source, "ce-id": e.ID, "ce-subject": "lead/" + e.Lead,
		"ce-time": time.Now().UTC().Format(time.RFC3339Nano),
	} {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", e.Type, err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("post %s: %s: %s", e.Type, resp.Status, bytes.TrimSpace(answer))
	}
	return nil
}
