package replay

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/reset"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Execute sets planned offsets, and calls done with the session's id, under which services and the stream record the reset. With restart the group's
// service is stopped before and started after done, by the admin port of `neuronx dev`: also after a failure, and when ctx has ended.
func Execute(ctx context.Context, env *operate.Env, group string, rows []reset.Row, restart bool, done func(session string) error) (err error) {
	if err := checkGroup(group); err != nil {
		return err
	}
	adm, err := env.Admin()
	if err != nil {
		return err
	}
	if restart {
		name := strings.TrimPrefix(group, "neuronx.")
		if err := service(ctx, env, name, "stop"); err != nil {
			return err
		}
		defer func() {
			// Even after Ctrl-C or a failure: a service that this command stopped must not stay down.
			again, cancel := context.WithTimeout(context.WithoutCancel(ctx), env.Timeout)
			defer cancel()
			err = cmp.Or(err, service(again, env, name, "start"))
		}()
		if _, err := operate.Until(ctx, func() (bool, error) {
			d, err := adm.DescribeGroup(ctx, group)
			return err == nil && len(d.Members) == 0 && d.State != "PreparingRebalance", err
		}); err != nil {
			return operate.Fail("wait for the group to be empty", err)
		}
	}
	session := uuid.NewString()
	if err := reset.Execute(ctx, adm, rows, "nx-reset:"+session); err != nil {
		return notReset(ctx, adm, group, err)
	}
	return done(session)
}

func notReset(ctx context.Context, adm *admin.Client, group string, err error) error {
	if d, derr := adm.DescribeGroup(ctx, group); derr == nil && len(d.Members) > 0 {
		return operate.Unsafe("the group is in use").Because("Assignments can only be reset if the group '%s' is inactive, but the current state is %s.", group, d.State).
			Hint("stop its service first, or add --restart under `neuronx dev`")
	}
	return operate.Fail("reset the offsets", err)
}

// service asks dev's admin port to stop or start a service.
func service(ctx context.Context, env *operate.Env, name, verb string) error {
	base, err := env.Need(operate.EnvAdminURL, "the admin port of `neuronx dev`")
	if err != nil {
		return err
	}
	url := strings.TrimRight(base, "/") + "/services/" + name + "/" + verb
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return operate.Usage("%s %q is not a URL", operate.EnvAdminURL, base)
	}
	res, err := env.HTTP.Do(req)
	if err != nil {
		return operate.Fail(verb+" "+name, err).Hint("--restart needs a running `neuronx dev`; elsewhere stop and start the service yourself")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		return operate.Fail(verb+" "+name, fmt.Errorf("%s answers %s", url, res.Status))
	}
	env.Note("%s: %s", verb, name)
	return nil
}
