package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas"
)

// nearest is the candidate that a word was probably meant to be; empty: none is near. A third of the word may be wrong, at least two
// characters; a beginning of a candidate counts as near, too.
func nearest(word string, candidates []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := levenshtein(word, c); d < distance {
			best, distance = c, d
		}
	}
	if best == "" && len(word) >= 3 {
		for _, c := range slices.Sorted(slices.Values(candidates)) {
			if strings.HasPrefix(c, word) {
				return c
			}
		}
	}
	return best
}

func levenshtein(a, b string) int {
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

// unknown is the error about a name that is not there: exit 1, with the name that was probably meant, and where names are listed.
func unknown(what, name string, candidates []string, list string) *Error {
	e := &Error{Exit: exitFailed, What: "there is no " + what + " " + name, Code: event.CodeNotFound}
	if near := nearest(name, candidates); near != "" && near != name {
		return e.next("did you mean %s? %s lists all", near, list)
	}
	return e.next("%s lists all", list)
}

// tenantOf is the tenant that a command line names, by the flag --tenant or the argument <tenant>; empty: none, or one that need not
// be there yet.
func tenantOf(cmd *cobra.Command, args []string) string {
	if cmd.Annotations[newTenant] != "" {
		return ""
	}
	if f := cmd.Flags().Lookup("tenant"); f != nil && f.Value.Type() == "string" {
		return f.Value.String()
	}
	if _, placeholder, _ := strings.Cut(cmd.Use, " "); (placeholder == "<tenant>" || strings.HasPrefix(placeholder, "<tenant> ")) && len(args) >= 1 {
		return args[0]
	}
	return ""
}

// newTenant marks a command whose tenant need not be there: it makes it, or asks nobody but the HTTP door, which knows its own.
const newTenant = "tenant may be unknown"

// checkTenant refuses a tenant that is not there. c.pool makes the same check for the tenant of the command line; this is for verbs
// that ask Kafka only, and may have no Postgres.
func (c *cli) checkTenant(ctx context.Context, id string) error {
	if c.value(envPostgres) == "" {
		c.note("whether there is a tenant %s was not looked up: %s is not set", id, envPostgres)
		return nil
	}
	pool, err := c.pool(ctx)
	if err != nil || c.wantTenant == id {
		return err
	}
	return knownTenant(ctx, pool, id)
}

// knownTenant looks for a tenant in the directory, in the archive, in the progress of consumers and among what was refused: a dead letter may name a tenant that
// never was.
func knownTenant(ctx context.Context, pool *pgxpool.Pool, id string) error {
	rows, err := pool.Query(ctx, `SELECT tenant_id FROM neuronx.tenants UNION SELECT tenant_id FROM neuronx.tenant_leaves UNION SELECT tenant_id FROM neuronx.progress
		UNION SELECT $1 WHERE EXISTS (SELECT FROM neuronx.dead_letters WHERE tenant_id = $1)`, id)
	if err != nil {
		return failed("look up the tenant", err).next("is the database provisioned? `neuronx provision`")
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return failed("look up the tenant", err).next("is the database provisioned? `neuronx provision`")
	}
	if slices.Contains(known, id) {
		return nil
	}
	return noSuchTenant(id, known)
}

func noSuchTenant(id string, known []string) error {
	e := unknown("tenant", id, known, "`neuronx tenant list`")
	e.Code = event.CodeUnknownTenant
	if len(known) == 0 {
		return e.next("there is none yet; `neuronx tenant create %s --execute` makes one", id)
	}
	return e
}

// checkType refuses an event type that neither this version's catalogue nor the registry has. What could not be asked is said.
func (c *cli) checkType(ctx context.Context, typ string) error {
	if typ == "" {
		return nil
	}
	if !event.ValidType(typ) {
		return usage("%q is not an event type", typ).next("such as lead.created; `neuronx schemas check` lists the catalogue")
	}
	types, err := builtInTypes()
	if err != nil || slices.Contains(types, typ) {
		return err
	}
	if c.value(envRegistry) == "" {
		c.note("this version knows no type %s; the registry was not asked: %s is not set", typ, envRegistry)
		return nil
	}
	reg, err := c.registry()
	if err != nil {
		return err
	}
	more, err := reg.Types(ctx)
	if err != nil {
		return failed("ask the registry for its types", err)
	}
	if slices.Contains(more, typ) {
		return nil
	}
	e := unknown("event type", typ, append(types, more...), "`neuronx schemas check`")
	e.Code = event.CodeUnknownType
	return e
}

// builtInTypes are the event types of this version's catalogue.
func builtInTypes() ([]string, error) {
	files, err := schemas.Files()
	if err != nil {
		return nil, failed("read the built-in schemas", err)
	}
	types := make([]string, 0, len(files))
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			return nil, failed("read the built-in schema "+f.Path, err)
		}
		types = append(types, s.EventType())
	}
	return types, nil
}

// nearFlag finds the flag that an unknown one was probably meant to be.
func nearFlag(cmd *cobra.Command, message string) string {
	_, name, ok := strings.Cut(message, "unknown flag: --")
	if !ok {
		return ""
	}
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	if near := nearest(name, names); near != "" {
		return "--" + near
	}
	return ""
}
