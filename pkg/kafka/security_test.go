package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func ping(t *testing.T, cfg kafka.Config) error {
	t.Helper()
	adm, err := admin.New(cfg)
	if err != nil {
		return err
	}
	defer adm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	return adm.Ping(ctx)
}

func TestConfig_ShowsItsPasswordByEitherMechanism(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(app.SASLScram512, "s", "right"), kfake.Superuser(app.SASLPlain, "p", "right"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, k := range []struct {
		security app.KafkaSecurity
		ok       bool
	}{
		{app.KafkaSecurity{Username: "s", Password: "right"}, true},
		{app.KafkaSecurity{Username: "s", Password: "right", Mechanism: app.SASLScram512}, true},
		{app.KafkaSecurity{Username: "p", Password: "right", Mechanism: app.SASLPlain}, true},
		{app.KafkaSecurity{Username: "s", Password: "wrong"}, false},
		{app.KafkaSecurity{Username: "p", Password: "wrong", Mechanism: app.SASLPlain}, false},
		{app.KafkaSecurity{Username: "s"}, false},
		{app.KafkaSecurity{}, false},
	} {
		if err := ping(t, kafka.Config{Brokers: c.ListenAddrs(), Security: k.security}); (err == nil) != k.ok {
			t.Errorf("%+v: %v", k.security, err)
		}
	}
}

func TestConfig_SpeaksTLSOnlyWithThoseItsAuthorityVouchesFor(t *testing.T) {
	cert, file := certificate(t)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, other := certificate(t)
	for name, k := range map[string]struct {
		security app.KafkaSecurity
		ok       bool
	}{
		"its authority":   {app.KafkaSecurity{TLS: true, CAFile: file}, true},
		"another one":     {app.KafkaSecurity{TLS: true, CAFile: other}, false},
		"the system's":    {app.KafkaSecurity{TLS: true}, false},
		"no TLS":          {app.KafkaSecurity{}, false},
		"no such file":    {app.KafkaSecurity{TLS: true, CAFile: file + "x"}, false},
		"no key for cert": {app.KafkaSecurity{TLS: true, CAFile: file, CertFile: file, KeyFile: file}, false},
	} {
		if err := ping(t, kafka.Config{Brokers: c.ListenAddrs(), Security: k.security}); (err == nil) != k.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// certificate makes one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
