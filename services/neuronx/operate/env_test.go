package operate

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
)

// TestEnv_OpensOneClientASession: a command that acts on many tenants asks for them again and again.
func TestEnv_OpensOneClientASession(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	keys, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{EnvBrokers: l.Addr().String(), EnvRegistry: "http://" + l.Addr().String(), EnvKeys: path}
	v := &Env{Value: func(name string) string { return settings[name] }, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	open := func() (any, any) {
		t.Helper()
		adm, err := v.Admin()
		if err != nil {
			t.Fatal(err)
		}
		pub, err := v.Publisher()
		if err != nil {
			t.Fatal(err)
		}
		return adm, pub
	}
	adm, pub := open()
	if a, p := open(); a != adm || p != pub {
		t.Error("the second call opens another client")
	}
	v.Close()
	if a, p := open(); a == adm || p == pub {
		t.Error("a client that was closed is used again")
	}
	v.Close()
}

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
