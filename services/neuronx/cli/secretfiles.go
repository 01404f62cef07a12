package cli

import (
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// secretEnvs are the settings that are secrets; the file that <NAME>_FILE names may hold one, as for the services.
var secretEnvs = []string{operate.EnvPostgres, operate.EnvAdmin, operate.EnvKafkaPassword, operate.EnvAPIKey, operate.EnvDemoKey}

// loadSecretFiles reads the files of <NAME>_FILE whose setting is not given otherwise. One that others can read is refused.
func (c *cli) loadSecretFiles() error {
	c.secretFiles = map[string]string{}
	for _, env := range secretEnvs {
		path, ok := c.getenv(env + "_FILE")
		if !ok || path == "" {
			continue
		}
		if p := c.settings[env]; p != nil && *p != "" {
			continue
		}
		if _, ok := c.getenv(env); ok {
			continue
		}
		b, err := event.ReadSecretFile(path)
		if err != nil {
			return operate.Fail("read the file of "+env+"_FILE", err)
		}
		c.secretFiles[env] = strings.TrimSpace(string(b))
	}
	return nil
}
