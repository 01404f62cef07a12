package operate

import (
	"testing"

	"github.com/neuronx/engine/pkg/app"
)

func TestSettings_AreNamedAsThoseOfTheServices(t *testing.T) {
	for setting, name := range map[app.Setting]string{
		app.KafkaBrokers: EnvBrokers, app.PostgresURL: EnvPostgres, app.RegistryURL: EnvRegistry, app.SigningKeysFile: EnvKeys, app.SecretsDir: EnvSecrets,
		"kafka-tls": EnvKafkaTLS, "kafka-tls-ca-file": EnvKafkaCA, "kafka-tls-cert-file": EnvKafkaCert, "kafka-tls-key-file": EnvKafkaKey,
		"kafka-sasl-mechanism": EnvKafkaMechanism, "kafka-sasl-username": EnvKafkaUser, "kafka-sasl-password": EnvKafkaPassword,
	} {
		if want := app.EnvName(string(setting)); name != want {
			t.Errorf("tools name %s %s, services %s", setting, name, want)
		}
	}
}
