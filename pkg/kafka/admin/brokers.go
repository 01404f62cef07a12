package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/kafka"
)

// Disk is one data directory of a broker. Sizes are bytes; -1 where the broker does not tell.
type Disk struct {
	Broker        int32
	Dir           string
	Total, Usable int64
	Err           error // the broker can't use the directory
}

// Disks asks every broker for its data directories. It needs the right Describe on the cluster: see Unauthorized.
func (a *Client) Disks(ctx context.Context) ([]Disk, error) {
	all, err := a.kadm.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(all) == 0 {
		return nil, fmt.Errorf("kafka: describe the brokers' data directories: %w", err)
	}
	var out []Disk
	for broker, dirs := range all {
		for _, d := range dirs {
			if kafka.Unauthorized(d.Err) {
				return nil, fmt.Errorf("kafka: describe the data directories of broker %d: %w", broker, d.Err)
			}
			out = append(out, Disk{Broker: broker, Dir: d.Dir, Total: d.TotalBytes, Usable: d.UsableBytes, Err: d.Err})
		}
	}
	slices.SortFunc(out, func(a, b Disk) int { return cmp.Or(cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.Dir, b.Dir)) })
	return out, nil
}

// Versions returns what each broker's protocol is taken for, such as "v4.3", by node id.
func (a *Client) Versions(ctx context.Context) (map[int32]string, error) {
	answer, err := a.kadm.ApiVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafka: ask for versions: %w", err)
	}
	out := make(map[int32]string, len(answer))
	for id, v := range answer {
		if v.Err != nil {
			return nil, fmt.Errorf("kafka: ask broker %d for its versions: %w", id, v.Err)
		}
		out[id] = v.VersionGuess()
	}
	return out, nil
}
