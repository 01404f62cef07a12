package deadletter

import "context"

// Pass is pass, for tests.
func (d *Decider) Pass(ctx context.Context) (int, error) { return d.pass(ctx) }
