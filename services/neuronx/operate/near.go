package operate

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas"
)

// Nearest is the candidate that a word was probably meant to be; empty: none is near. A third of the word may be wrong, at least two
// characters; a beginning of a candidate counts as near, too.
func Nearest(word string, candidates []string) string {
	candidates = slices.Sorted(slices.Values(candidates))
	best := closest(word, candidates, max(2, len(word)/3))
	if i := slices.IndexFunc(candidates, func(c string) bool { return strings.HasPrefix(c, word) }); best == "" && i >= 0 && len(word) >= 3 {
		return candidates[i]
	}
	return best
}

// closest is the first candidate with the fewest wrong characters; empty: all have more than most.
func closest(word string, candidates []string, most int) (best string) {
	distance := most + 1
	for _, c := range candidates {
		if d := Distance(word, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// Distance is how many characters of a word were added, left out or changed (Levenshtein).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		previous := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			previous, row[j] = row[j], min(row[j]+1, row[j-1]+1, previous+cost)
		}
	}
	return row[len(b)]
}

// Unknown is the error about a name that is not there: exit 1, with the name that was probably meant, and where names are listed.
func Unknown(what, name string, candidates []string, list string) *Error {
	e := &Error{Kind: KindFailed, What: "there is no " + what + " " + name, Code: event.CodeNotFound}
	if near := Nearest(name, candidates); near != "" && near != name {
		return e.Hint("did you mean %s? %s lists all", near, list)
	}
	return e.Hint("%s lists all", list)
}

// CheckTenant refuses a tenant that is not there. c.pool makes the same check for the tenant of the command line; this is for verbs
// that ask Kafka only, and may have no Postgres.
func (v *Env) CheckTenant(ctx context.Context, id string) error {
	if v.Value(EnvPostgres) == "" {
		v.Note("whether there is a tenant %s was not looked up: %s is not set", id, EnvPostgres)
		return nil
	}
	pool, err := v.Pool(ctx)
	if err != nil || v.Tenant == id {
		return err
	}
	return KnownTenant(ctx, pool, id)
}

// KnownTenant looks for a tenant in the directory, in the archive, in the progress of consumers and among what was refused: a dead letter may name a tenant that
// never was.
func KnownTenant(ctx context.Context, pool *pgxpool.Pool, id string) error {
	known, err := tenants(ctx, pool, id)
	if err != nil {
		return Fail("look up the tenant", err).Hint("is the database provisioned? `neuronx provision`")
	}
	if slices.Contains(known, id) {
		return nil
	}
	return NoSuchTenant(id, known)
}

// tenants lists the tenants that are known, and id if only a dead letter names it.
func tenants(ctx context.Context, pool *pgxpool.Pool, id string) ([]string, error) {
	rows, err := pool.Query(ctx, `SELECT tenant_id FROM neuronx.tenants UNION SELECT $1 WHERE EXISTS (SELECT FROM neuronx.dead_letters WHERE tenant_id = $1)`, id)
	if err != nil {
		return nil, err
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	archived, err := archive.NewReader(pool).Tenants(ctx)
	if err != nil {
		return nil, err
	}
	read, err := consumer.Tenants(ctx, pool, "")
	if err != nil {
		return nil, err
	}
	known = append(append(known, archived...), read...)
	slices.Sort(known)
	return slices.Compact(known), nil
}

// NoSuchTenant is the error about a tenant that is none of the known ones.
func NoSuchTenant(id string, known []string) error {
	e := Unknown("tenant", id, known, "`neuronx tenant list`")
	e.Code = event.CodeUnknownTenant
	if len(known) == 0 {
		return e.Hint("there is none yet; `neuronx tenant create %s --execute` makes one", id)
	}
	return e
}

// CheckType refuses an event type that neither this version's catalogue nor the registry has. What could not be asked is said.
func (v *Env) CheckType(ctx context.Context, typ string) error {
	if typ == "" {
		return nil
	}
	if !event.ValidType(typ) {
		return Usage("%q is not an event type", typ).Hint("such as lead.created; `neuronx schemas check` lists the catalogue")
	}
	types, err := BuiltInTypes()
	if err != nil || slices.Contains(types, typ) {
		return err
	}
	if v.Value(EnvRegistry) == "" {
		v.Note("this version knows no type %s; the registry was not asked: %s is not set", typ, EnvRegistry)
		return nil
	}
	reg, err := v.Registry()
	if err != nil {
		return err
	}
	more, err := reg.Types(ctx)
	if err != nil {
		return Fail("ask the registry for its types", err)
	}
	if slices.Contains(more, typ) {
		return nil
	}
	e := Unknown("event type", typ, append(types, more...), "`neuronx schemas check`")
	e.Code = event.CodeUnknownType
	return e
}

// BuiltInTypes are the event types of this version's catalogue.
func BuiltInTypes() ([]string, error) {
	files, err := schemas.Files()
	if err != nil {
		return nil, Fail("read the built-in schemas", err)
	}
	types := make([]string, 0, len(files))
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			return nil, Fail("read the built-in schema "+f.Path, err)
		}
		types = append(types, s.EventType())
	}
	return types, nil
}

// DidYouMean names the one of names that is most like name, up to a third of it; nothing if none is.
func DidYouMean(name string, names []string) string {
	if best := closest(name, names, len(name)/3); best != "" {
		return "did you mean " + best + "? "
	}
	return ""
}
