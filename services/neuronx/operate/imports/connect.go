package imports

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// httpTimeout bounds one request to the HTTP endpoint.
const httpTimeout = 60 * time.Second

// Options are what an import needs to know besides importer.Options.
type Options struct {
	KeyFile        string // with the API key; "": the setting operate.EnvAPIKey
	DryRun         bool   // check all that can be checked, send nothing
	WithoutArchive bool   // repeats are only dropped for 24 hours
}

// BadSpec is the error about a spec that can't be used.
func BadSpec(path string, err error) *operate.Error {
	return &operate.Error{Kind: operate.KindUsage, What: "the spec " + path + " can't be used", Why: err.Error(), Code: event.CodeInvalidImport}
}

// Bind checks a spec, which was read from path, against the schemas: the registry's, which are what the engine goes by, or for want of one this
// version's.
func Bind(ctx context.Context, env *operate.Env, spec *importer.Spec, path string, o Options) error {
	registered := env.Value(operate.EnvRegistry) != ""
	var schemas importer.Schemas = importer.Builtin{}
	if registered {
		reg, err := env.Registry()
		if err != nil {
			return err
		}
		schemas = reg
	} else {
		env.Note("%s is not set: rows are checked against the schemas of this version of the tool", operate.EnvRegistry)
	}
	err := spec.Bind(ctx, schemas, registered || o.DryRun)
	var refused *event.Refusal
	if errors.As(err, &refused) && refused.Code == event.CodeInvalidImport {
		return BadSpec(path, err)
	}
	if err != nil {
		return operate.Fail("check the spec against the schemas", err).Hint("`neuronx doctor` looks at every part")
	}
	return nil
}

// key is env.APIKey, but takes the demo tenant's key of `neuronx dev` only where that tenant is named: a file that is imported into a
// tenant because somebody forgot to set a key can't be taken back.
func key(env *operate.Env, file, tenantID string) (string, error) {
	if file == "" && tenantID == "" && env.Value(operate.EnvAPIKey) == "" {
		return "", (&operate.Error{Kind: operate.KindUsage, What: "no API key is configured, so it is not known into which tenant", Code: event.CodeUnauthenticated}).
			Hint("set and export %s, or --api-key-file; `neuronx key issue --tenant … --execute` makes a key; under `make run`, --tenant demo takes that of the demo tenant", operate.EnvAPIKey)
	}
	return env.APIKey(file, tenantID)
}

// Connect sets the tenant, the sender and the archive of an import. run.Tenant may name the tenant that the key must be of. A dry run asks the
// archive only if it is there, and the tenant known. For run.Update it waits until the archive holds all of the log.
func Connect(ctx context.Context, env *operate.Env, run *importer.Options, o Options) error {
	token, err := key(env, o.KeyFile, run.Tenant)
	if err == nil {
		var k tenant.Key
		if k, err = tenant.ParseKey(token); err != nil {
			return operate.Fail("use the API key", err)
		}
		run.Tenant = k.Tenant
	} else if !o.DryRun || o.KeyFile != "" {
		return err
	}
	if o.DryRun {
		if run.Tenant == "" || env.Value(operate.EnvPostgres) == "" || o.WithoutArchive {
			env.Note("dry run: what the archive holds is not compared; that needs %s, and the tenant by its key or --tenant", operate.EnvPostgres)
			if run.Tenant == "" {
				run.Tenant = "dry-run"
			}
			return nil
		}
	} else {
		base, err := env.Need(operate.EnvHTTP, "the HTTP endpoint")
		if err != nil {
			return err
		}
		env.Note("importing into tenant %s", run.Tenant)
		run.Sender = &importer.HTTPSender{URL: base, Key: token, Client: &http.Client{Timeout: httpTimeout}, Note: env.Note}
		if o.WithoutArchive {
			return nil
		}
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		var e *operate.Error
		if errors.As(err, &e) && e.Kind == operate.KindUsage {
			return e.Hint("set %s, so that what was imported before is not imported again; or --without-archive", operate.EnvPostgres)
		}
		return err
	}
	run.Archive = held{pool}
	if run.Update {
		return awaitArchive(ctx, env)
	}
	return nil
}
