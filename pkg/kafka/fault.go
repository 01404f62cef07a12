package kafka

import (
	"crypto/x509"
	"errors"

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
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism),
		Unauthorized(err),
		errors.As(err, &unknownCA), errors.As(err, &host), errors.As(err, &invalid):
		return app.Fatal(err)
	}
	return err
}

// Unauthorized reports whether Kafka refused a request because the user has no right to it.
func Unauthorized(err error) bool {
	return errors.Is(err, kerr.ClusterAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) ||
		errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.TransactionalIDAuthorizationFailed)
}
