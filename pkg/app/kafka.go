package app

import (
	"errors"
	"slices"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/event"
)

// SASL mechanisms.
const (
	SASLScram512 = "SCRAM-SHA-512"
	SASLPlain    = "PLAIN"
)

// KafkaSecurity says how a process authenticates itself to Kafka, and Kafka to it. The zero value is a plain connection without a
// user, as on a laptop.
type KafkaSecurity struct {
	TLS                       bool
	CAFile, CertFile, KeyFile string // PEM; without a CA file the system's authorities count
	Mechanism                 string // SASLScram512 (also when empty) or SASLPlain
	Username                  string // empty: no SASL
	Password                  Secret
}

// Bind declares the flags.
func (k *KafkaSecurity) Bind(fs *pflag.FlagSet) {
	fs.BoolVar(&k.TLS, "kafka-tls", k.TLS, "speak TLS with Kafka")
	fs.StringVar(&k.CAFile, "kafka-tls-ca-file", k.CAFile, "PEM file of the authorities that may vouch for Kafka (default: the system's)")
	fs.StringVar(&k.CertFile, "kafka-tls-cert-file", k.CertFile, "PEM file of this client's certificate, where Kafka asks for one")
	fs.StringVar(&k.KeyFile, "kafka-tls-key-file", k.KeyFile, "PEM file of that certificate's key")
	fs.StringVar(&k.Mechanism, "kafka-sasl-mechanism", k.Mechanism, "SCRAM-SHA-512 (default) or PLAIN")
	fs.StringVar(&k.Username, "kafka-sasl-username", k.Username, "user at Kafka; without one there is no SASL")
	fs.Var(&k.Password, "kafka-sasl-password", "that user's password; better NEURONX_KAFKA_SASL_PASSWORD_FILE, a file that holds it")
}

// Validate names everything that is wrong.
func (k *KafkaSecurity) Validate() error {
	var errs []error
	bad := func(detail, next string) {
		errs = append(errs, event.Refuse(event.CodeInvalidConfig, "%s", detail).Hint(next))
	}
	if !slices.Contains([]string{"", SASLScram512, SASLPlain}, k.Mechanism) {
		bad("--kafka-sasl-mechanism is unknown", SASLScram512+" or "+SASLPlain)
	}
	if k.Username != "" && k.Password == "" {
		bad("--kafka-sasl-username is set, but there is no password", "set NEURONX_KAFKA_SASL_PASSWORD_FILE to a file that can be read")
	}
	if k.Username == "" && (k.Password != "" || k.Mechanism != "") {
		bad("a SASL password or mechanism is set without --kafka-sasl-username", "name the user, or unset them")
	}
	if !k.TLS && (k.CAFile != "" || k.CertFile != "" || k.KeyFile != "") {
		bad("files for TLS are set, but --kafka-tls is not", "set NEURONX_KAFKA_TLS=true, or unset the files")
	}
	if (k.CertFile == "") != (k.KeyFile == "") {
		bad("--kafka-tls-cert-file and --kafka-tls-key-file belong together", "set both or none")
	}
	return errors.Join(errs...)
}
