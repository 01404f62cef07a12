package grants

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/secret"
	"github.com/neuronx/engine/pkg/vault"
)

// How an account is opened.
const (
	AuthPIT   = "pit"   // a private integration token, which a person makes and replaces
	AuthOAuth = "oauth" // tokens that a person's consent gave, and that are refreshed
)

// The states of a grant.
const (
	Active       = "active"
	NeedsConsent = "needs_consent" // the CRM takes its tokens no more, and a person must consent again
	Revoked      = "revoked"
)

// Grant is what is known of a grant without its tokens. Zero times are not set.
type Grant struct {
	Adapter       string    `json:"adapter"`
	Holder        string    `json:"holder"`
	Tenant        string    `json:"tenant_id"`
	Auth          string    `json:"auth"`
	Version       int64     `json:"version"`
	State         string    `json:"state"`
	Reason        string    `json:"reason,omitempty"`
	Fingerprint   string    `json:"fingerprint"`
	Scopes        string    `json:"scopes,omitempty"`
	GivenAt       time.Time `json:"given_at"`
	GivenBy       string    `json:"given_by,omitempty"`
	FallbackUntil time.Time `json:"fallback_until,omitzero"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	RefreshAt     time.Time `json:"refresh_at,omitzero"`
	RefreshedAt   time.Time `json:"refreshed_at,omitzero"`
}

// Tokens are the secrets of a grant. Refresh is empty where Access is not refreshed.
type Tokens struct {
	Access  secret.Text
	Refresh secret.Text
}

// Location is the holder of a grant for one location.
func Location(id string) string { return "location/" + id }

// Reference is how a connection names the token of its location's grant.
func Reference(location string) string { return "secret://" + location + grantVersion }

const grantVersion = "@grant"

// IsReference reports whether a connection's token is a grant's, and not a file's.
func IsReference(ref string) bool { return strings.HasSuffix(ref, grantVersion) }

// maxToken bounds a token in bytes; those of vendors have some hundred.
const maxToken = 6 << 10

// CheckToken refuses what can't stand in a header. The error doesn't repeat it.
func CheckToken(t secret.Text) error {
	s := t.Reveal()
	switch {
	case s == "":
		return errors.New("the token is empty")
	case len(s) > maxToken:
		return fmt.Errorf("the token has over %d bytes", maxToken)
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e }):
		return errors.New("the token has blanks, line breaks or characters that are not ASCII")
	}
	return nil
}

// Fingerprint tells tokens apart without telling them: the first 12 hexadecimal digits of a token's SHA-256. Tokens have more than 100 bits of
// chance in them, so none is found by its fingerprint.
func Fingerprint(t secret.Text) string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:6])
}

// Mark tells one version of a grant from all others, also where a restored database counts its versions again.
func Mark(version int64, fingerprint string) string {
	return fmt.Sprintf("%d/%s", version, fingerprint)
}

// sealedTokens is what is sealed.
type sealedTokens struct {
	Access  string `json:"access"`
	Refresh string `json:"refresh,omitempty"`
}

func row(adapter, holder string, version int64) []byte {
	return fmt.Appendf(nil, "%s|%s|%d", adapter, holder, version)
}

// seal seals tokens for one version of a grant.
func seal(v *vault.Vault, adapter, holder string, version int64, t Tokens) ([]byte, error) {
	if err := CheckToken(t.Access); err != nil {
		return nil, err
	}
	if t.Refresh != "" {
		if err := CheckToken(t.Refresh); err != nil {
			return nil, fmt.Errorf("to refresh with: %w", err)
		}
	}
	plain, err := json.Marshal(sealedTokens{Access: t.Access.Reveal(), Refresh: t.Refresh.Reveal()})
	if err != nil {
		return nil, errors.New("the tokens can't be encoded")
	}
	return v.Seal(plain, row(adapter, holder, version))
}

// open opens what seal made for the same version of the same grant.
func open(v *vault.Vault, adapter, holder string, version int64, sealed []byte) (Tokens, error) {
	plain, err := v.Open(sealed, row(adapter, holder, version))
	if err != nil {
		return Tokens{}, err
	}
	var t sealedTokens
	if json.Unmarshal(plain, &t) != nil || CheckToken(secret.Text(t.Access)) != nil {
		return Tokens{}, vault.ErrSealed
	}
	return Tokens{Access: secret.Text(t.Access), Refresh: secret.Text(t.Refresh)}, nil
}
