package embedded

import "github.com/twmb/franz-go/pkg/kfake"

// Fake is the broker underneath, for tests that inject faults.
func (c *Cluster) Fake() *kfake.Cluster { return c.fake }
