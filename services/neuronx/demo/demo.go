package demo

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Tenant is the tenant that dev makes and feeds.
const Tenant = "demo"

// demoRules are the rules of the demo tenant.
//
//go:embed rules
var demoRules embed.FS

// Rules returns the demo tenant's rule files by name.
func Rules() (map[string]string, error) {
	out := map[string]string{}
	err := fs.WalkDir(demoRules, "rules", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := demoRules.ReadFile(p)
		out[strings.TrimPrefix(p, "rules/")] = string(b)
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
	channels   = []string{"organic_search", "paid_search", "social", "referral", "email", "direct"}
)

// lead makes up a person who was never there.
func lead() (id string, data map[string]any) {
	first, last := firstNames[rand.IntN(len(firstNames))], lastNames[rand.IntN(len(lastNames))]
	id = strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	return id, map[string]any{
		"lead_id": id, "first_name": first, "last_name": last,
		"email":   fmt.Sprintf("%s.%s.%s@example.com", strings.ToLower(first), strings.ToLower(last), id[:6]),
		"phone":   fmt.Sprintf("+1555%07d", rand.IntN(10_000_000)),
		"channel": channels[rand.IntN(len(channels))], "source": "demo",
	}
}

// Traffic posts a demo lead every interval until ctx ends. What fails is logged and not repeated: the next lead comes anyway.
func Traffic(ctx context.Context, url, key string, interval time.Duration, log *slog.Logger) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		id, data := lead()
		if err := postLead(ctx, client, url, key, id, data); err != nil && ctx.Err() == nil {
			log.Warn("a demo lead was not accepted", "err", err)
		}
	}
}

func postLead(ctx context.Context, client *http.Client, url, key, id string, data map[string]any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode lead: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post lead: %w", err)
	}
	for k, v := range map[string]string{
		"Authorization": "Bearer " + key, "Content-Type": "application/json", "ce-specversion": "1.0",
		"ce-type": "lead.created", "ce-source": "/demo/website", "ce-id": "demo-" + id, "ce-subject": "lead/" + id,
		"ce-time": time.Now().UTC().Format(time.RFC3339Nano),
	} {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post lead: %w", err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("post lead: %s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	return nil
}
