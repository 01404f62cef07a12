package badinput

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// http sends one request, and a good one before it if the file has one, and looks at the problem that is answered.
func (p *Player) http(ctx context.Context, name string, in *HTTP, want Expect) error {
	if in.First != nil {
		status, answer, err := p.request(ctx, in, in.First)
		if err != nil || status != http.StatusAccepted && status != http.StatusOK { // 200: its verdict was waited for
			return fmt.Errorf("the good request before: %d %.300s %w", status, answer, err)
		}
		p.Admitted++
	}
	status, answer, err := p.request(ctx, in, in.Body)
	if err != nil {
		return err
	}
	if want.Late {
		var taken struct{ ID string }
		if err := json.Unmarshal(answer, &taken); err != nil || status != want.Status {
			return fmt.Errorf("the HTTP endpoint answered %d %.300s", status, answer)
		}
		return p.Tape.refused(ctx, want.Code, byID(taken.ID))
	}
	got, err := problemOf(answer)
	if err != nil || status != want.Status || got != want.Code {
		return fmt.Errorf("%s: %d %s, want %d %s: %.300s", name, status, got, want.Status, want.Code, answer)
	}
	return nil
}

// problemOf finds the code in a problem (RFC 9457), or in the first refused item of a batch's answer.
func problemOf(answer []byte) (event.Code, error) {
	type problem struct{ Code event.Code }
	if bytes.HasPrefix(answer, []byte("[")) {
		var items []struct{ Problem *problem }
		if err := json.Unmarshal(answer, &items); err != nil {
			return "", err
		}
		for _, i := range items {
			if i.Problem != nil {
				return i.Problem.Code, nil
			}
		}
		return "", nil
	}
	var one problem
	err := json.Unmarshal(answer, &one)
	return one.Code, err
}

func (p *Player) request(ctx context.Context, in *HTTP, parts Bytes) (int, []byte, error) {
	body, err := parts.Make(p.Schemas)
	if err != nil {
		return 0, nil, err
	}
	headers := http.Header{}
	if key := orElse(in.Key, "writer"); key != "none" {
		secret, ok := p.Keys[key]
		if !ok {
			return 0, nil, fmt.Errorf("there is no API key of the name %s", key)
		}
		headers.Set("Authorization", "Bearer "+secret)
	}
	for _, h := range in.Headers {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			return 0, nil, fmt.Errorf("%q is no header", h)
		}
		headers.Add(name, value)
	}
	return post(ctx, orElse(in.Method, http.MethodPost), p.HTTPURL+orElse(in.Path, "/v1/events"), headers, bytes.NewReader(body))
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
