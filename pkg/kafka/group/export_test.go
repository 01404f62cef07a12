package group

import "context"

// Lose tells a running member that the group gave its partitions away, as the client does.
func (g *Consumer) Lose(ctx context.Context, m map[string][]int32) { g.lost(ctx, g.client, m) }

// Revoke tells a running member that it is to give partitions up, as the client does.
func (g *Consumer) Revoke(ctx context.Context, m map[string][]int32) { g.revoked(ctx, g.client, m) }
