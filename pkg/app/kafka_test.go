package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestKafkaSecurity_ComesFromTheEnvironmentAndHidesItsPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"KAFKA_SASL_USERNAME": "neuronx_rules", "KAFKA_SASL_PASSWORD_FILE": file, "KAFKA_SASL_MECHANISM": SASLPlain, "KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": "ca.pem",
	} {
		t.Setenv("NEURONX_"+k, v)
	}
	s := Settings{KafkaBrokers: []string{"k:9092"}}
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	s.Bind(fs, KafkaBrokers)
	if err := Load(fs, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Require(KafkaBrokers); err != nil {
		t.Fatal(err)
	}
	k := s.KafkaSecurity
	if k.Username != "neuronx_rules" || k.Password.Reveal() != "hunter2" || k.Mechanism != SASLPlain || !k.TLS || k.CAFile != "ca.pem" {
		t.Errorf("%+v", k)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "hunter2") {
		t.Errorf("the password is printed: %s", text)
	}
}

func TestKafkaSecurity_NamesEveryProblem(t *testing.T) {
	for want, k := range map[string]KafkaSecurity{
		"":                        {},
		"mechanism is unknown":    {Username: "u", Password: "p", Mechanism: "SCRAM-SHA-1"},
		"there is no password":    {Username: "u"},
		"without --kafka-sasl":    {Password: "p"},
		"but --kafka-tls is not":  {CAFile: "ca.pem"},
		"belong together":         {TLS: true, CertFile: "cert.pem"},
		"without --kafka-sasl-us": {Mechanism: SASLPlain},
	} {
		err := k.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
