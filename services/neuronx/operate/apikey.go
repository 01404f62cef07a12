package operate

import (
	"os"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// APIKey finds the key for the HTTP endpoint: in a file, or else in the settings, where that of the demo tenant of `neuronx dev` comes last.
// tenantID may name the tenant that it must be of.
func (v *Env) APIKey(file, tenantID string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", Fail("read the API key", err)
		}
		return checkKey(strings.TrimSpace(string(b)), tenantID)
	}
	if key := v.Value(EnvAPIKey); key != "" {
		return checkKey(key, tenantID)
	}
	if key := v.Value(EnvDemoKey); key != "" {
		if k, err := tenant.ParseKey(key); err == nil && (tenantID == "" || tenantID == k.Tenant) {
			if tenantID == "" {
				v.Note("%s is not set: using the key of tenant %s (%s)", EnvAPIKey, k.Tenant, EnvDemoKey)
			}
			return key, nil
		}
	}
	return "", (&Error{Kind: KindUsage, What: "no API key is configured", Code: event.CodeUnauthenticated}).
		Hint("set %s or --api-key-file; `neuronx key issue --tenant … --execute` makes one", EnvAPIKey)
}

func checkKey(text, tenantID string) (string, error) {
	k, err := tenant.ParseKey(text)
	if err != nil {
		return "", &Error{Kind: KindUsage, What: "the API key can't be used", Why: err.Error(), Code: event.CodeUnauthenticated}
	}
	if tenantID != "" && tenantID != k.Tenant {
		return "", Usage("the API key is of tenant %s, --tenant says %s", k.Tenant, tenantID)
	}
	return text, nil
}
