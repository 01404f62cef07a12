package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/errgroup"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/schemas"
)

// Action says what a push does with one schema under one subject.
type Action string

// The actions of a push.
const (
	ActionRegister  Action = "register"  // not there yet
	ActionUnchanged Action = "unchanged" // this very schema is there
	ActionRefused   Action = "refused"   // breaks a rule of the catalogue or compatibility; Detail says which
)

// Change is what a push did, or would do, with one file under one subject.
type Change struct {
	Path    string `json:"path"`
	Subject string `json:"subject"` // "" when the file was refused before it had one
	Action  Action `json:"action"`
	ID      int32  `json:"id,omitempty"` // 0 while nothing is registered
	Detail  string `json:"detail,omitempty"`
}

// ErrRefused means that a push registered nothing, because at least one file breaks a rule. The changes say which.
var ErrRefused = errors.New("schemas refused")

// Push registers files under both subjects of each. All are checked before anything is registered: the rules of the
// catalogue (avro.Lint), and compatibility in both directions with every version there is. Without execute it only
// returns what it would do. Pushing what is there changes nothing. The error is ErrRefused or ErrUnavailable; the
// changes are good with ErrRefused too.
func (c *Client) Push(ctx context.Context, files []schemas.File, execute bool) ([]Change, error) {
	var changes []Change
	var parsed []*avro.Schema // of the change with the same index; nil: its file breaks a rule
	for _, file := range files {
		s, found := check(file)
		if s != nil {
			for _, subject := range subjectsOf(s.FullName()) {
				found = append(found, Change{Path: file.Path, Subject: subject})
			}
		}
		for _, change := range found {
			changes, parsed = append(changes, change), append(parsed, s)
		}
	}
	if err := c.planAll(ctx, changes, parsed); err != nil {
		return nil, err
	}
	refused := 0
	for i := range changes {
		if changes[i].Action == ActionRefused {
			refused++
		}
	}
	if refused > 0 {
		return changes, fmt.Errorf("%w: %d problems in %d files", ErrRefused, refused, len(files))
	}
	if !execute {
		return changes, nil
	}
	for i := range changes {
		if changes[i].Action != ActionRegister {
			continue
		}
		if err := c.register(ctx, &changes[i], parsed[i]); err != nil {
			return changes, fmt.Errorf("register %s: %w", changes[i].Subject, err)
		}
	}
	c.stale()
	return changes, nil
}

// check applies the rules that need no registry. The schema is nil when one is broken.
func check(file schemas.File) (*avro.Schema, []Change) {
	var broken []Change
	for _, problem := range avro.Lint(file.Path, file.Text) {
		broken = append(broken, Change{Path: file.Path, Action: ActionRefused, Detail: problem.Error()})
	}
	if len(broken) > 0 {
		return nil, broken
	}
	s, err := avro.Parse(file.Text)
	if err != nil {
		return nil, []Change{{Path: file.Path, Action: ActionRefused, Detail: err.Error()}}
	}
	return s, nil
}

// planAll plans each change that has a schema, a few at a time. The catalogue has more than a hundred subjects of two round trips each:
// one after the other, that is longer than a caller's deadline where the registry is far away or slow.
func (c *Client) planAll(ctx context.Context, changes []Change, parsed []*avro.Schema) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, s := range parsed {
		if s == nil {
			continue
		}
		g.Go(func() error {
			if err := c.plan(ctx, &changes[i], s); err != nil {
				return fmt.Errorf("plan %s: %w", changes[i].Subject, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// plan compares a schema with the versions of a subject. Registries compare too, each in its own way; this is ours.
func (c *Client) plan(ctx context.Context, change *Change, s *avro.Schema) error {
	change.Action = ActionRegister
	versions, err := c.sr.Schemas(ctx, change.Subject)
	if err != nil {
		if err = c.classify(err); errors.Is(err, ErrUnknown) {
			return nil
		}
		return err
	}
	for _, v := range versions {
		earlier, err := parse(v.Schema)
		if err == nil && earlier.Fingerprint() == s.Fingerprint() {
			change.Action, change.ID, change.Detail = ActionUnchanged, int32(v.ID), ""
			return nil
		}
		if err == nil {
			err = avro.CheckCompatible(s, earlier)
		}
		if err != nil {
			change.Action, change.Detail = ActionRefused, fmt.Sprintf("version %d: %v", v.Version, err)
		}
	}
	return nil
}

func (c *Client) register(ctx context.Context, change *Change, s *avro.Schema) error {
	// Registries default to BACKWARD, which would let another producer register what our readers can not read.
	level := sr.SetCompatibility{Level: sr.CompatFullTransitive}
	for _, result := range c.changes.SetCompatibility(ctx, level, change.Subject) {
		if result.Err != nil {
			return fmt.Errorf("set FULL_TRANSITIVE: %w", c.classify(result.Err))
		}
	}
	id, err := c.changes.RegisterSchema(ctx, change.Subject, sr.Schema{Schema: string(s.Text()), Type: sr.TypeAvro}, -1, -1)
	if err != nil {
		if refused, ok := errors.AsType[*sr.ResponseError](err); ok && refused.StatusCode == 409 {
			return fmt.Errorf("%w: %.500s", ErrRefused, refused.Message) // somebody was faster
		}
		return c.classify(err)
	}
	change.ID = int32(id)
	return nil
}

// stale makes the next question read the registry again.
func (c *Client) stale() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.catalog != nil {
		old := *c.catalog
		old.at = old.at.Add(-freshFor)
		c.catalog = &old
	}
	clear(c.unknown)
}
