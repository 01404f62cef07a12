package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Disk is one data directory of a broker. Sizes are bytes; -1 where the broker does not tell.
type Disk struct {
	Broker        int32
	Dir           string
	Total, Usable int64
	Err           error // the broker can't use the directory
}

// Disks asks every broker for its data directories. It needs the right Describe on the cluster: see Unauthorized.
func (a *Admin) Disks(ctx context.Context) ([]Disk, error) {
	all, err := a.kadm.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(all) == 0 {
		return nil, fmt.Errorf("kafka: describe the brokers' data directories: %w", err)
	}
	var out []Disk
	for broker, dirs := range all {
		for _, d := range dirs {
			if Unauthorized(d.Err) {
				return nil, fmt.Errorf("kafka: describe the data directories of broker %d: %w", broker, d.Err)
			}
			out = append(out, Disk{Broker: broker, Dir: d.Dir, Total: d.TotalBytes, Usable: d.UsableBytes, Err: d.Err})
		}
	}
	slices.SortFunc(out, func(a, b Disk) int { return cmp.Or(cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.Dir, b.Dir)) })
	return out, nil
}
