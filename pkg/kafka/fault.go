package kafka

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/app"
)

// Fault marks an error at start that waiting can't mend with app.Fatal: Kafka knows this user not or lets it do too little, or one of
// the two does not trust the other's certificate. Every other error is one of a cluster that is away, starting or overloaded, and is
// returned as it is.
func Fault(err error) error {
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case Refused(err), Unauthorized(err),
		errors.As(err, &unknownCA), errors.As(err, &host), errors.As(err, &invalid):
		return app.Fatal(err)
	}
	return err
}

// Refused reports whether Kafka did not accept the user, the password or the mechanism.
func Refused(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism)
}

// Fault marks an error as the function of that name does, and names the user that Kafka refuses and the settings to correct. They are read
// when a process starts.
func (c Config) Fault(err error) error {
	if Refused(err) {
		err = fmt.Errorf("kafka at %s refuses the user %s or its password; correct NEURONX_KAFKA_SASL_USERNAME, NEURONX_KAFKA_SASL_PASSWORD_FILE "+
			"and NEURONX_KAFKA_SASL_MECHANISM, and start the process again: %w", strings.Join(c.Brokers, ","), c.Security.Username, err)
	}
	return Fault(err)
}

// Unauthorized reports whether Kafka refused a request because the user has no right to it.
func Unauthorized(err error) bool {
	return errors.Is(err, kerr.ClusterAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) ||
		errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.TransactionalIDAuthorizationFailed)
}
