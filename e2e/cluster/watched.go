package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Peak is the most memory, in bytes, that the process had resident since ResetPeak; 0 when it does not run.
func (p *Process) Peak() (int64, error) {
	pid := p.PID()
	if pid == 0 {
		return 0, nil
	}
	b, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("peak memory of %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kb int64
			if _, err := fmt.Sscan(value, &kb); err != nil {
				return 0, fmt.Errorf("peak memory of %s: %q: %w", p.Name, line, err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("peak memory of %s: its status has no VmHWM", p.Name)
}

// ResetPeak makes Peak begin again with what the process has now.
func (p *Process) ResetPeak() error {
	pid := p.PID()
	if pid == 0 {
		return nil
	}
	if err := os.WriteFile(filepath.Join("/proc", fmt.Sprint(pid), "clear_refs"), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak memory of %s: %w", p.Name, err)
	}
	return nil
}

// Readiness is what /readyz answers now.
func (p *Process) Readiness(ctx context.Context) (body string, code int, err error) {
	return get(ctx, "http://"+p.Admin+"/readyz")
}

// PublishRules replaces a tenant's rules as `neuronx rules publish` does, without waiting for the rules service. The version is the one in
// force; a tenant of Tenants begins with version 1.
func (c *Cluster) PublishRules(ctx context.Context, tenant string, files []ruleset.File, version int64) error {
	_, err := rules.Publish(ctx, c.Control, tenant, files, version, "e2e")
	return err
}

// PublishUnchecked publishes a bundle without compiling it here, where that would take the machine from the services that are measured.
func (c *Cluster) PublishUnchecked(ctx context.Context, tenant string, files []ruleset.File, previous int64) error {
	_, err := c.Control.Publish(ctx, tenant, "rules.published", "rules/"+tenant, event.DerivedID(tenant, "unchecked", fmt.Sprint(previous)), ruleset.PublishedData(files, previous+1, "e2e"))
	return err
}

// StalledFor lists the consumers that a tenant is stalled for.
func (c *Cluster) StalledFor(ctx context.Context, tenant string) ([]string, error) {
	return collect[string](ctx, c, `SELECT DISTINCT consumer FROM neuronx.progress WHERE tenant_id = $1 AND state = 'stalled' ORDER BY 1`, tenant)
}
