package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
)

// FromSettings is the configuration of a process's clients.
func FromSettings(s app.Settings, clientID string) Config {
	return Config{Brokers: s.KafkaBrokers, ClientID: clientID, Security: s.KafkaSecurity}
}

// SecurityOptions are those for TLS and SASL, for packages below pkg/kafka that open a client of their own. The files are read again
// for every client.
func (c Config) SecurityOptions() ([]kgo.Opt, error) {
	k := c.Security
	if err := k.Validate(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	var opts []kgo.Opt
	if k.TLS {
		if c.Dialer != nil {
			return nil, errors.New("kafka: a test's dialer does not speak TLS")
		}
		t, err := tlsConfig(k)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	switch {
	case k.Username == "":
	case k.Mechanism == app.SASLPlain:
		opts = append(opts, kgo.SASL(plain.Auth{User: k.Username, Pass: k.Password.Reveal()}.AsMechanism()))
	default:
		opts = append(opts, kgo.SASL(scram.Auth{User: k.Username, Pass: k.Password.Reveal()}.AsSha512Mechanism()))
	}
	return opts, nil
}

func tlsConfig(k app.KafkaSecurity) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.CAFile != "" {
		pem, err := os.ReadFile(k.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka: read the authorities: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka: %s holds no PEM certificate", k.CAFile)
		}
	}
	if k.CertFile != "" {
		key, err := event.ReadSecretFile(k.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka: read the client's key: %w", err)
		}
		chain, err := os.ReadFile(k.CertFile)
		if err != nil {
			return nil, fmt.Errorf("kafka: read the client's certificate: %w", err)
		}
		cert, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return nil, fmt.Errorf("kafka: read the client's certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}
