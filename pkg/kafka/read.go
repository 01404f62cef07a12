package kafka

import "context"

// ReadRange calls fn with the committed records of one partition from offset from up to, excluding, to, and returns
// when to is reached, even if only control records lie before it. It uses no group.
func ReadRange(ctx context.Context, cfg Config, topic string, partition int32, from, to int64, fn func(*Record) error) error {
	return nil
}

// Follow calls fn with the committed records of a topic, from its start or its end, until ctx is done (then it
// returns nil) or fn fails. It uses no group.
func Follow(ctx context.Context, cfg Config, topic string, fromStart bool, fn func(*Record) error) error {
	return nil
}
