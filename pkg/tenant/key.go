package tenant

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

const (
	keyPrefix   = "nx"
	keyIDBytes  = 6  // 12 hex digits: enough to be unique within one tenant
	secretBytes = 32 // 256 bits
)

// Scopes an API key can carry. A key with no scope may do nothing.
const (
	ScopeWrite = "events:write" // publish events of unreserved types
	ScopeRead  = "events:read"  // ask what became of an event
)

// ErrKeyFormat says that a text is not shaped like an API key. It never
// contains the text, which may be somebody's secret.
var ErrKeyFormat = errors.New("not an API key of the form nx_<tenant>_<id>_<secret>")

// Key is an API key with its secret. It redacts itself wherever it is printed,
// logged or marshalled; Reveal gives the text to show once.
type Key struct {
	Tenant string
	ID     string // 12 lower-case hex digits
	secret [secretBytes]byte
}

// NewKey makes a key for the tenant from the system's random source.
func NewKey(tenant string) (Key, error) {
	if !event.ValidTenant(tenant) {
		return Key{}, fmt.Errorf("make API key: %q is not a tenant id ([a-z0-9-], 1 to 63 characters)", tenant)
	}
	var id [keyIDBytes]byte
	k := Key{Tenant: tenant}
	// crypto/rand.Read never returns an error since Go 1.24: it crashes the
	// program instead, so no key is ever made from a failed source.
	_, _ = rand.Read(id[:])
	_, _ = rand.Read(k.secret[:])
	k.ID = hex.EncodeToString(id[:])
	return k, nil
}

// ParseKey reads a key as a client presents it. Every fault gives ErrKeyFormat.
func ParseKey(text string) (Key, error) {
	parts := strings.Split(text, "_")
	if len(parts) != 4 || parts[0] != keyPrefix || !event.ValidTenant(parts[1]) {
		return Key{}, ErrKeyFormat
	}
	k := Key{Tenant: parts[1], ID: parts[2]}
	if len(k.ID) != 2*keyIDBytes || !lowerHex(k.ID) || len(parts[3]) != 2*secretBytes || !lowerHex(parts[3]) {
		return Key{}, ErrKeyFormat
	}
	if _, err := hex.Decode(k.secret[:], []byte(parts[3])); err != nil {
		return Key{}, ErrKeyFormat
	}
	return k, nil
}

// Reveal is the key as the client presents it.
func (k Key) Reveal() string {
	return strings.Join([]string{keyPrefix, k.Tenant, k.ID, hex.EncodeToString(k.secret[:])}, "_")
}

// Hash is the SHA-256 of the secret, which is what is stored and published.
func (k Key) Hash() [sha256.Size]byte { return sha256.Sum256(k.secret[:]) }

// HashHex is Hash in lower-case hex, as tenant.key_issued carries it.
func (k Key) HashHex() string {
	h := k.Hash()
	return hex.EncodeToString(h[:])
}

// Matches compares the secret's hash with a stored one in constant time.
func (k Key) Matches(hash [sha256.Size]byte) bool {
	h := k.Hash()
	return subtle.ConstantTimeCompare(h[:], hash[:]) == 1
}

// String hides the secret.
func (k Key) String() string { return strings.Join([]string{keyPrefix, k.Tenant, k.ID, "***"}, "_") }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return k.String() }

// LogValue hides the secret from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText hides the secret from encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// lowerHex is strict about case, so that a key has exactly one spelling.
func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
