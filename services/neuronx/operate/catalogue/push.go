package catalogue

import (
	"context"
	"errors"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Problem is what checking a file found.
type Problem struct {
	Path    string `json:"path"`
	Result  string `json:"result"` // ok | error
	Problem string `json:"problem,omitempty"`
}

// Lint checks files against the rules of the catalogue: a row for each problem, or one for a file that has none. bad counts the files that have some.
func Lint(files []schemas.File) (rows []Problem, bad int) {
	for _, f := range files {
		problems := avro.Lint(f.Path, f.Text)
		for _, p := range problems {
			rows = append(rows, Problem{Path: f.Path, Result: "error", Problem: p.Error()})
		}
		if len(problems) == 0 {
			rows = append(rows, Problem{Path: f.Path, Result: "ok"})
		} else {
			bad++
		}
	}
	return rows, bad
}

// Push registers schemas, or without execute says what it would do. changes has what is known of each file also when err is not nil, and is nil when
// the registry was not asked; todo counts the subjects that are, or would be, registered under. One schema that is refused means that none is registered.
func Push(ctx context.Context, env *operate.Env, files []schemas.File, execute bool) (changes []registry.Change, todo int, err error) {
	reg, err := env.Registry()
	if err != nil {
		return nil, 0, err
	}
	if changes, err = reg.Push(ctx, files, execute); changes == nil {
		changes = []registry.Change{}
	}
	refused := map[string]bool{} // files: a schema has two subjects, and may break several rules
	for _, ch := range changes {
		switch ch.Action {
		case registry.ActionRefused:
			refused[ch.Path] = true
		case registry.ActionRegister:
			todo++
		}
	}
	switch {
	case errors.Is(err, registry.ErrUnavailable):
		err = operate.Fail("push schemas", err).Hint("is the registry running at %s?", env.Value(operate.EnvRegistry))
	case err != nil && len(refused) == 0:
		err = operate.Fail("push schemas", err)
	case len(refused) > 0:
		err = (&operate.Error{Kind: operate.KindFailed, What: operate.Plural(len(refused), "schema") + " refused; nothing was registered", Code: event.CodeIncompatibleSchema}).
			Hint("within a major version a schema must read all earlier ones and be read by them; a breaking change is a new major version")
	}
	return changes, todo, err
}
