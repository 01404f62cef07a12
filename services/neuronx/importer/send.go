package importer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
)

// Outcome is the HTTP endpoint's answer to one event.
type Outcome struct {
	Status   string     // admitted, duplicate or refused; anything else is no verdict yet
	Code     event.Code // of a refusal
	Detail   string
	Sequence int64 // admitted
	Of       int64 // duplicate: the sequence that the first one got
	Resent   bool  // the batch was sent more than once
}

func (o Outcome) is() outcome {
	switch {
	case o.Status == event.OutcomeAdmitted:
		return admitted
	case o.Status == event.OutcomeDuplicate:
		return duplicate
	case o.Status == event.OutcomeRefused && o.Code == event.CodeConflict:
		return conflict
	case o.Status == event.OutcomeRefused:
		return refused
	}
	return unjudged
}

// HTTPSender sends batches to the HTTP endpoint with an API key, and waits for the verdicts on them.
type HTTPSender struct {
	URL    string // of the HTTP endpoint, without path
	Key    string // API key
	Client *http.Client
	Note   func(format string, args ...any) // says why it waits
}

const (
	maxTries    = 30
	longestWait = 30 * time.Second
	maxBody     = 7 << 20   // the endpoint takes 8 MiB
	verdictWait = "wait=25" // seconds that the endpoint may wait for verdicts
)

// Send posts one batch and returns an outcome per event, in order. Answers that
// say "later" or nothing are tried again: every event has its id, so a repeat is
// dropped. An error means that the batch as a whole can't be sent.
func (d *HTTPSender) Send(ctx context.Context, events []Event) ([]Outcome, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return nil, fmt.Errorf("encode a batch: %w", err)
	}
	if len(body) > maxBody && len(events) > 1 {
		first, err := d.Send(ctx, events[:len(events)/2])
		if err != nil {
			return nil, err
		}
		second, err := d.Send(ctx, events[len(events)/2:])
		return append(first, second...), err
	}
	wait := 500 * time.Millisecond
	for try := 1; ; try++ {
		out, again, err := d.post(ctx, body, len(events))
		if err == nil {
			for i := range out {
				out[i].Resent = try > 1
			}
			return out, nil
		}
		if again < 0 || try == maxTries || ctx.Err() != nil {
			return nil, err
		}
		next := max(again, min(wait, longestWait))
		wait *= 2
		d.Note("%v; trying again in %s", err, next)
		if err := backoff.Wait(ctx, next); err != nil {
			return nil, err
		}
	}
}

// post sends once. again is how long to wait before trying again, or negative
// when that is useless.
func (d *HTTPSender) post(ctx context.Context, body []byte, n int) (out []Outcome, again time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(d.URL, "/")+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return nil, -1, fmt.Errorf("send a batch: %w", err)
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	req.Header.Set("Prefer", verdictWait)
	req.Header.Set("Authorization", "Bearer "+d.Key)
	res, err := d.Client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("the HTTP endpoint does not answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 32<<20))
	if err != nil {
		return nil, 0, fmt.Errorf("the HTTP endpoint's answer broke off: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusUnprocessableEntity:
		out, err := outcomes(answer, n)
		return out, -1, err
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // absent or a date: the own backoff
		return nil, max(0, min(time.Duration(seconds)*time.Second, longestWait)), fmt.Errorf("the HTTP endpoint answers %s", res.Status)
	}
	var p struct {
		Code   event.Code `json:"code"`
		Detail string     `json:"detail"`
		Hint   string     `json:"hint"`
	}
	if json.Unmarshal(answer, &p) == nil && p.Code != "" {
		return nil, -1, event.Refuse(p.Code, "%s", p.Detail).Hint(p.Hint)
	}
	return nil, -1, fmt.Errorf("the HTTP endpoint answers %s", res.Status)
}

func outcomes(answer []byte, n int) ([]Outcome, error) {
	var items []struct {
		Index    int    `json:"index"`
		Status   string `json:"status"`
		Sequence int64  `json:"sequence,string"`
		Of       int64  `json:"of,string"`
		Problem  *struct {
			Code   event.Code `json:"code"`
			Detail string     `json:"detail"`
			Errors []struct {
				Location string `json:"location"`
				Message  string `json:"message"`
			} `json:"errors"`
		} `json:"problem"`
	}
	if err := json.Unmarshal(answer, &items); err != nil || len(items) != n {
		return nil, fmt.Errorf("the HTTP endpoint's answer has %d items for %d events; is a proxy in between?", len(items), n)
	}
	out := make([]Outcome, n)
	for i, item := range items {
		if item.Index != i {
			return nil, fmt.Errorf("the HTTP endpoint's answer is out of order at %d", i)
		}
		out[i].Status, out[i].Sequence, out[i].Of = item.Status, item.Sequence, item.Of
		if p := item.Problem; p != nil {
			out[i].Code, out[i].Detail = p.Code, p.Detail
			for _, e := range p.Errors {
				out[i].Detail += "; " + e.Location + ": " + e.Message
			}
		}
	}
	return out, nil
}
