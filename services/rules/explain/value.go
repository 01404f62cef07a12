package explain

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
)

// Hidden stands for the value of a personal field.
const Hidden = "•"

// Text is a value in a few words. What it holds is counted, not listed.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return strconv.Quote(clip(v, maxValue))
	case expr.Decimal:
		return clip(string(v), maxValue)
	case time.Time:
		return event.FormatTime(v)
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	case []any:
		return fmt.Sprintf("list of %d", len(v))
	case map[string]any:
		return fmt.Sprintf("map of %d", len(v))
	}
	return "too large to be read"
}

// clip cuts a text at a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// hidden reports of a path, such as data.address.city, whether a personal value stands there, above it or below it. What is not known is hidden.
func (x *Explainer) hidden(ctx context.Context, r *event.Recorded) (func(path []string) bool, error) {
	id, _, err := event.Unframe(r.Value)
	if err != nil {
		return nil, fmt.Errorf("read event %d of %s: %w", r.Sequence, x.tenant, err)
	}
	schema, err := x.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find the schema of event %d of %s: %w", r.Sequence, x.tenant, err)
	}
	var personal [][]string
	for _, p := range schema.Personal() {
		personal = append(personal, strings.Split(strings.ReplaceAll(p.Path, "[]", ""), "."))
	}
	return func(path []string) bool {
		switch {
		case len(path) == 0:
			return true
		case path[0] == "event", path[0] == "windows", path[0] == "vars": // counts, and members of pools
			return false
		case path[0] == "state":
			return len(path) == 1 && len(x.tainted) > 0 || len(path) > 1 && x.tainted[path[1]]
		case path[0] != "data":
			return true
		}
		return slices.ContainsFunc(personal, func(p []string) bool {
			n := min(len(p), len(path)-1)
			return slices.Equal(p[:n], path[1:1+n])
		})
	}, nil
}

// touches reports whether an expression reads something hidden.
func touches(p *expr.Program, hidden func([]string) bool) bool {
	for _, root := range []string{"data", "state"} {
		if !p.Reads(root) {
			continue
		}
		if p.ReadsWhole(root) && hidden([]string{root}) || slices.ContainsFunc(p.Fields(root), func(f string) bool { return hidden([]string{root, f}) }) {
			return true
		}
	}
	return false
}

// taint notes which keys of state a rule sets from personal fields, of every bundle that was in force: what was set stays when the rule goes.
func (x *Explainer) taint(ctx context.Context) error {
	set, _, _ := x.sandbox.InForce()
	if set == nil || set == x.of {
		return nil
	}
	x.of = set
	personal := map[string]bool{} // types and first fields
	some := map[string]bool{}
	for _, rule := range set.Rules {
		for _, typ := range rule.On {
			_, schema, err := x.registry.ByType(ctx, typ)
			if err != nil { // its fields are not known: all of them count
				personal[typ], some[typ] = true, true
				continue
			}
			for _, p := range schema.Personal() {
				first, _, _ := strings.Cut(strings.TrimSuffix(p.Path, "[]"), ".")
				personal[typ+" "+strings.TrimSuffix(first, "[]")], some[typ] = true, true
			}
		}
	}
	for changed := true; changed; { // a key may be set from another one
		changed = false
		for _, rule := range set.Rules {
			hidden := func(path []string) bool {
				if path[0] == "state" {
					return len(path) == 1 && len(x.tainted) > 0 || len(path) > 1 && x.tainted[path[1]]
				}
				return slices.ContainsFunc(rule.On, func(typ string) bool {
					return personal[typ] || len(path) == 1 && some[typ] || len(path) > 1 && personal[typ+" "+path[1]]
				})
			}
			for _, a := range rule.Set {
				if !x.tainted[a.Key] && touches(a.Expr, hidden) {
					x.tainted[a.Key], changed = true, true
				}
			}
		}
	}
	return ctx.Err()
}
