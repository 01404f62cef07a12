package registry

import (
	"context"
	"fmt"

	"github.com/neuronx/engine/pkg/avro"
)

// Ensure registers a schema under both of its subjects where it is not there yet, and returns the number that it has in this registry.
// It is for schemas that were in force before, such as those the archive keeps: the catalogue's rules of style are not asked again,
// compatibility is. The errors are those of Push.
func (c *Client) Ensure(ctx context.Context, s *avro.Schema) (int32, error) {
	var id int32
	for _, subject := range subjectsOf(s.FullName()) {
		change := Change{Subject: subject}
		if err := c.plan(ctx, &change, s); err != nil {
			return 0, fmt.Errorf("plan %s: %w", subject, err)
		}
		switch change.Action {
		case ActionRefused:
			return 0, fmt.Errorf("%w: %s: %s", ErrRefused, subject, change.Detail)
		case ActionRegister:
			if err := c.register(ctx, &change, s); err != nil {
				return 0, fmt.Errorf("register %s: %w", subject, err)
			}
		}
		id = change.ID
	}
	c.stale()
	return id, nil
}
