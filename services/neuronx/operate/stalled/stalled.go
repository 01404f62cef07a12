package stalled

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/projector"
)

// groups are the services that stall tenants, by the name that people use.
var groups = map[string]string{
	"projector": kafka.GroupProjector, "rules": kafka.GroupRules, "archiver": kafka.GroupArchiver, "gohighlevel": kafka.GroupGoHighLevel,
}

// Consumers are the services that stall tenants, by the name that people use.
func Consumers() []string { return []string{"projector", "rules", "archiver", "gohighlevel"} }

// Place is where tenants are stalled. What is empty means any.
type Place struct {
	Consumer, Feed, Tenant string
}

// Check refuses a consumer or feed that does not exist.
func (p *Place) Check() error {
	switch {
	case p.Consumer != "" && groups[p.Consumer] == "":
		return operate.Usage("there is no consumer %q", p.Consumer).Hint("use %s", strings.Join(Consumers(), ", "))
	case p.Feed != "" && !slices.Contains(projector.Feeds(), p.Feed):
		return operate.Usage("there is no feed %q", p.Feed).Hint("use %s", strings.Join(projector.Feeds(), ", "))
	case p.Feed == projector.FeedControl && p.Consumer != "" && p.Consumer != "projector":
		return operate.Usage("%s has no feed %s", p.Consumer, p.Feed).Hint("only the projector has several feeds")
	}
	return nil
}

// rowNames are the consumers in neuronx.progress that the place means.
func (p *Place) rowNames() ([]string, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	var names []string
	for _, name := range Consumers() {
		if p.Consumer != "" && p.Consumer != name {
			continue
		}
		feeds := []string{consumer.FeedMain}
		if name == "projector" {
			feeds = projector.Feeds()
		}
		for _, feed := range feeds {
			if p.Feed == "" || p.Feed == feed {
				names = append(names, consumer.RowName(groups[name], feed))
			}
		}
	}
	return names, nil
}

// At is a tenant that is stalled.
type At struct {
	Consumer   string `json:"consumer"`
	Feed       string `json:"feed"`
	Tenant     string `json:"tenant_id"`
	Generation int64  `json:"generation"`
	Sequence   string `json:"sequence"` // of the event that it is stalled at
	Reason     string `json:"reason"`
}

func atOf(r consumer.Row) At {
	group, feed := consumer.SplitName(r.Consumer)
	return At{Consumer: strings.TrimPrefix(group, "neuronx."), Feed: feed, Tenant: r.TenantID, Generation: r.Generation,
		Sequence: strconv.FormatInt(r.Sequence+1, 10), Reason: r.Reason}
}

// List lists the tenants that are stalled at a place.
func List(ctx context.Context, env *operate.Env, p Place) ([]At, error) {
	rows, err := p.find(ctx, env)
	if err != nil {
		return nil, err
	}
	return operate.Each(rows, atOf), nil
}

// WouldRetry lists what Retry would let go on; that there is nothing is an error.
func WouldRetry(ctx context.Context, env *operate.Env, p Place) ([]At, error) {
	list, err := List(ctx, env, p)
	if err == nil && len(list) == 0 {
		err = p.nobody("retry")
	}
	return list, err
}

// Retry lets the tenants that are stalled at a place go on with the event that they stalled at, and waits for what becomes of each, until
// ctx ends.
func Retry(ctx context.Context, env *operate.Env, p Place) ([]Resumed, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := p.find(ctx, env)
	if err != nil {
		return nil, err
	}
	names := operate.Each(rows, func(r consumer.Row) string { return r.Consumer })
	slices.Sort(names)
	var done []consumer.Row
	for _, name := range slices.Compact(names) {
		retried, err := consumer.Retry(ctx, pool, name, p.Tenant)
		if err != nil && !errors.Is(err, consumer.ErrNotStalled) { // it may have been retried by somebody else in between
			return nil, operate.Fail("retry", err)
		}
		done = append(done, retried...)
	}
	if len(done) == 0 {
		return nil, p.nobody("retry")
	}
	return watch(ctx, pool, done, 0)
}

// find lists the stalled rows of a place.
func (p *Place) find(ctx context.Context, env *operate.Env) ([]consumer.Row, error) {
	names, err := p.rowNames()
	if err != nil {
		return nil, err
	}
	var all []consumer.Row
	for _, name := range names {
		rows, err := operate.Ask(ctx, env, "list stalled tenants", func(pool *pgxpool.Pool) ([]consumer.Row, error) {
			return consumer.Rows(ctx, pool, name, p.Tenant, consumer.Stalled)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

func (p *Place) nobody(verb string) error {
	who := p.Tenant + " is not stalled"
	if p.Tenant == "" {
		who = "no tenant is stalled"
	}
	where := p.Consumer
	if where == "" {
		where = "any consumer"
	}
	return operate.Fail(verb, event.Refuse(event.CodeNotFound, "%s in %s", who, where).Hint("neuronx stalled list"))
}
