package deadletters

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Letter is a dead letter as operators see it.
type Letter struct {
	Ref      string    `json:"ref"` // topic/partition/offset of the refused record
	Tenant   string    `json:"tenant_id"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail"`
	ID       string    `json:"event_id"`
	Type     string    `json:"event_type"`
	Recorded time.Time `json:"recorded_at"`
	State    string    `json:"state"`
	Next     string    `json:"next_ref,omitempty"` // of refused_again
}

func letterOf(l deadletter.Letter) Letter {
	return Letter{l.Ref(), l.Tenant, l.Reason, l.Detail, l.EventID, l.Type, l.Recorded, l.State, l.Next}
}

// List returns the newest letters that a filter chooses, newest first. A reason or a type that is not there is an error.
func List(ctx context.Context, env *operate.Env, f deadletter.Filter) ([]Letter, error) {
	found, err := choose(ctx, env, f)
	if err != nil {
		return nil, err
	}
	return operate.Each(found, letterOf), nil
}

// CountBy counts the letters that a filter chooses by reason, tenant, type or state, most first.
func CountBy(ctx context.Context, env *operate.Env, by string, f deadletter.Filter) ([]deadletter.Count, error) {
	if err := checkFilter(ctx, env, f); err != nil {
		return nil, err
	}
	return operate.Ask(ctx, env, "count dead letters", func(pool *pgxpool.Pool) ([]deadletter.Count, error) {
		return deadletter.Counts(ctx, pool, by, f)
	})
}

// Further counts all letters that a filter chooses, when chosen of them reached its limit; else 0.
func Further(ctx context.Context, env *operate.Env, f deadletter.Filter, chosen int) (all int64, err error) {
	if chosen < f.Limit {
		return 0, nil
	}
	counts, err := CountBy(ctx, env, "state", f)
	for _, n := range counts {
		all += n.Count
	}
	return all, err
}

// Choose returns the letters that are named, each once, and else those that the filter chooses.
func Choose(ctx context.Context, env *operate.Env, f deadletter.Filter, refs []string) ([]deadletter.Letter, error) {
	if len(refs) == 0 {
		return choose(ctx, env, f)
	}
	var letters []deadletter.Letter
	for _, ref := range slices.Compact(slices.Sorted(slices.Values(refs))) { // named twice, it is one
		l, err := Get(ctx, env, ref)
		if err != nil {
			return nil, err
		}
		letters = append(letters, *l)
	}
	return letters, nil
}

func choose(ctx context.Context, env *operate.Env, f deadletter.Filter) ([]deadletter.Letter, error) {
	if err := checkFilter(ctx, env, f); err != nil {
		return nil, err
	}
	return list(ctx, env, f)
}

func list(ctx context.Context, env *operate.Env, f deadletter.Filter) ([]deadletter.Letter, error) {
	return operate.Ask(ctx, env, "list dead letters", func(pool *pgxpool.Pool) ([]deadletter.Letter, error) { return deadletter.List(ctx, pool, f) })
}

// checkFilter refuses a reason or a type that is not there, which would choose nothing for ever. What was refused may name a type that
// never was.
func checkFilter(ctx context.Context, env *operate.Env, f deadletter.Filter) error {
	for _, look := range []struct{ value, column string }{{f.Reason, "reason"}, {f.Type, "event_type"}} {
		if look.value == "" {
			continue
		}
		seen, err := operate.Rows(ctx, env, "list dead letters", pgx.RowTo[string], `SELECT DISTINCT `+look.column+` FROM neuronx.dead_letters LIMIT 10000`)
		switch {
		case err != nil:
			return err
		case slices.Contains(seen, look.value):
		case look.column == "event_type":
			if err := env.CheckType(ctx, look.value); err != nil {
				return err
			}
		case !slices.Contains(event.Codes(), event.Code(look.value)):
			for _, code := range event.Codes() {
				seen = append(seen, string(code))
			}
			return operate.Unknown("reason", look.value, seen, "`neuronx deadletter list --by reason --state all`")
		}
	}
	return nil
}

// Get returns the letter at topic/partition/offset.
func Get(ctx context.Context, env *operate.Env, ref string) (*deadletter.Letter, error) {
	topic, partition, offset, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	l, err := deadletter.Load(ctx, pool, topic, partition, offset)
	var r *event.Refusal
	if errors.As(err, &r) && r.Code == event.CodeNotFound {
		return nil, noLetter(ctx, env, ref)
	}
	if err != nil {
		return nil, operate.Fail("look for the dead letter", err)
	}
	return l, nil
}

// noLetter is the error about a dead letter that is not there, with one that is like it.
func noLetter(ctx context.Context, env *operate.Env, ref string) error {
	letters, err := list(ctx, env, deadletter.Filter{Limit: 1000})
	if err != nil {
		return err
	}
	refs := operate.Each(letters, func(l deadletter.Letter) string { return l.Ref() })
	return operate.Unknown("dead letter", ref, refs, "`neuronx deadletter list --state all`")
}

// ParseRef reads topic/partition/offset.
func ParseRef(ref string) (topic string, partition int32, offset int64, err error) {
	parts := strings.Split(ref, "/")
	if len(parts) == 3 && parts[0] != "" {
		p, perr := strconv.ParseInt(parts[1], 10, 32)
		o, oerr := strconv.ParseInt(parts[2], 10, 64)
		if perr == nil && oerr == nil && p >= 0 && o >= 0 {
			return parts[0], int32(p), o, nil
		}
	}
	return "", 0, 0, operate.Usage("%q is not topic/partition/offset", ref).Hint("as `neuronx deadletter list` shows it, such as neuronx.ingress/0/17")
}

// Shown is a dead letter with what was received.
type Shown struct {
	Letter
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Data    json.RawMessage   `json:"data,omitempty"`         // when the schema is known and the body fits it
	Hex     string            `json:"value_hex,omitempty"`    // else its beginning
	Value   string            `json:"value_base64,omitempty"` // all of it, when asked for or not decoded and short
	Bytes   int               `json:"value_bytes"`
	Cut     bool              `json:"value_cut,omitempty"`
}

// Bounds of what is shown of a value that can't be decoded, in bytes.
const (
	shownHex    = 256
	shownBase64 = 4096
)

// Show returns a letter with what was received; raw asks for the whole value as received.
func Show(ctx context.Context, env *operate.Env, ref string, raw bool) (Shown, error) {
	l, err := Get(ctx, env, ref)
	if err != nil {
		return Shown{}, err
	}
	v := Shown{Letter: letterOf(*l), Key: safetext.Text(string(l.Key)), Headers: map[string]string{}, Bytes: len(l.Value)}
	for _, h := range l.Headers {
		v.Headers[safetext.Text(h.Key)] = safetext.Text(string(h.Value))
	}
	if v.Data = Decode(ctx, env, l); v.Data == nil {
		v.Hex = hex.EncodeToString(l.Value[:min(len(l.Value), shownHex)])
		v.Value = base64.StdEncoding.EncodeToString(l.Value[:min(len(l.Value), shownBase64)])
		v.Cut = len(l.Value) > shownBase64
	}
	if raw {
		v.Value, v.Cut = base64.StdEncoding.EncodeToString(l.Value), false
	}
	return v, nil
}
