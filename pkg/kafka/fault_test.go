package kafka

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/app"
)

func TestFault_EndsAStartForWhatAPersonMustCorrectAndWaitsForTheRest(t *testing.T) {
	for _, c := range []struct {
		err   error
		fatal bool
	}{
		{kerr.SaslAuthenticationFailed, true},
		{kerr.TopicAuthorizationFailed, true},
		{x509.UnknownAuthorityError{}, true},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "k"}, true},
		{kerr.LeaderNotAvailable, false},
		{kerr.CoordinatorLoadInProgress, false},
		{io.EOF, false},
		{errors.New("dial tcp: connection refused"), false},
	} {
		if got := Fault(fmt.Errorf("kafka: describe topics: %w", c.err)); app.IsFatal(got) != c.fatal {
			t.Errorf("%v: fatal %t", c.err, app.IsFatal(got))
		}
	}
	if Fault(nil) != nil {
		t.Error("nil became an error")
	}
}
