package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Draft is an event to publish over HTTP. ID, Subject, Origin and Key may be empty.
type Draft struct {
	Type, ID, Source, Subject, Time, Origin string

	Data json.RawMessage
	Key  string        // Idempotency-Key
	Wait time.Duration // how long to wait for the verdict, in whole seconds; 0: not at all
}

// Published is what the HTTP endpoint says of an event that it took.
type Published struct {
	ID     string `json:"id"`
	Status string `json:"status"` // admitted, duplicate, or accepted: not judged yet

	Sequence string `json:"sequence,omitempty"` // of what was admitted; a string, as it passes 2^53
	Position string `json:"position,omitempty"`
	Of       string `json:"of,omitempty"` // of a duplicate: the sequence of the event that is there
}

// Publish hands an event over to the HTTP endpoint at base, with an API key. A refusal of a type that is not there names the nearest one.
func Publish(ctx context.Context, env *operate.Env, base, key string, d Draft) (Published, error) {
	p, err := post(ctx, env, base, key, d)
	var e *operate.Error
	if !errors.As(err, &e) || e.Code != event.CodeUnknownType {
		return p, err
	}
	types, listErr := operate.BuiltInTypes()
	if near := operate.Nearest(d.Type, types); listErr == nil && near != "" && near != d.Type {
		return p, e.Hint("did you mean %s? `neuronx schemas check` lists the catalogue", near)
	}
	return p, err
}

func post(ctx context.Context, env *operate.Env, base, key string, d Draft) (Published, error) {
	var out Published
	ce := map[string]any{"specversion": "1.0", "type": d.Type, "source": d.Source, "time": d.Time, "data": d.Data}
	for name, v := range map[string]string{"id": d.ID, "subject": d.Subject, "origin": d.Origin} {
		if v != "" {
			ce[name] = v
		}
	}
	body, err := json.Marshal(ce)
	if err != nil {
		return out, operate.Fail("encode the event", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return out, operate.Usage("%s %q is not a URL", operate.EnvHTTP, base)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer "+key)
	if d.Key != "" {
		req.Header.Set("Idempotency-Key", `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(d.Key)+`"`)
	}
	if d.Wait > 0 {
		req.Header.Set("Prefer", "wait="+strconv.Itoa(int(d.Wait/time.Second)))
	}
	res, err := env.HTTP.Do(req)
	if err != nil {
		return out, operate.Fail("publish the event", err).Hint("is ingest running at %s? %s, and publish again with the same --id or --key", base, operate.Start)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return out, operate.Fail("read the answer", err)
	}
	if res.StatusCode != http.StatusAccepted && (d.Wait == 0 || res.StatusCode != http.StatusOK) {
		return out, problem(res.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, operate.Fail("read the answer", err)
	}
	return out, nil
}

// problem turns an RFC 9457 answer into an error.
func problem(status int, body []byte) error {
	var p struct {
		Code   event.Code `json:"code"`
		Title  string     `json:"title"`
		Detail string     `json:"detail"`
		Hint   string     `json:"hint"`
		Errors []struct {
			Location string `json:"location"`
			Message  string `json:"message"`
		} `json:"errors"`
	}
	e := &operate.Error{Kind: operate.KindFailed, What: "the event was not accepted"}
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		e.Why = "HTTP " + http.StatusText(status) + " from something that is not the engine's HTTP endpoint"
		return e
	}
	e.Code, e.Next = p.Code, p.Hint
	lines := []string{string(p.Code) + ": " + p.Detail}
	for _, f := range p.Errors {
		lines = append(lines, f.Location+": "+f.Message)
	}
	e.Why = strings.Join(lines, "\n")
	return e
}
