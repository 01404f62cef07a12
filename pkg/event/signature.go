package event

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Keyring holds the engine's signing keys: one primary that signs, many that are accepted, so that keys can be rotated.
// It prints nothing of its keys.
type Keyring struct {
	primary string
	keys    map[string]*signingKey
}

// signingKey is a key, and what it takes to sign with it, kept for the next event.
type signingKey struct {
	secret []byte
	macs   sync.Pool // of *macer
}

type macer struct {
	hash hash.Hash
	buf  []byte
}

func newSigningKey(secret []byte) *signingKey {
	return &signingKey{secret: secret, macs: sync.Pool{New: func() any { return &macer{hash: hmac.New(sha256.New, secret)} }}}
}

type keyringFile struct {
	Primary string            `json:"primary"`
	Keys    map[string]string `json:"keys"` // key id → base64 of at least 32 bytes
}

var keyIDPattern = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// NewKeyring makes a keyring of one fresh 256-bit key named k1.
func NewKeyring() *Keyring {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand since Go 1.24)
	return &Keyring{primary: "k1", keys: map[string]*signingKey{"k1": newSigningKey(b)}}
}

// LoadKeyring reads the file that NEURONX_SIGNING_KEYS_FILE names. It refuses one that others can read, as ReadSecretFile does.
func LoadKeyring(path string) (*Keyring, error) {
	if path == "" {
		return nil, Refuse(CodeInvalidConfig, "no signing keys are configured").Hint("set NEURONX_SIGNING_KEYS_FILE to a JSON file {\"primary\":\"k1\",\"keys\":{\"k1\":\"<base64 of 32 bytes>\"}}")
	}
	b, err := ReadSecretFile(path)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	k, err := ParseKeyring(b)
	if err != nil {
		return nil, fmt.Errorf("signing keys %s: %w", path, err)
	}
	return k, nil
}

// ParseKeyring reads a keyring from its JSON form.
func ParseKeyring(b []byte) (*Keyring, error) {
	var f keyringFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, Refuse(CodeInvalidConfig, "the signing keys are not JSON of the form {primary, keys}")
	}
	k := &Keyring{primary: f.Primary, keys: map[string]*signingKey{}}
	for id, s := range f.Keys {
		key, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(key) < 32 || !keyIDPattern.MatchString(id) {
			return nil, Refuse(CodeInvalidConfig, "signing key %q is not base64 of at least 32 bytes under a name of a-z, 0-9 and hyphen", id)
		}
		k.keys[id] = newSigningKey(key)
	}
	if k.keys[k.primary] == nil {
		return nil, Refuse(CodeInvalidConfig, "the primary signing key %q is not among the keys", k.primary)
	}
	return k, nil
}

// MarshalJSON gives the keyring's file form; store it with mode 0600.
func (k *Keyring) MarshalJSON() ([]byte, error) {
	f := keyringFile{Primary: k.primary, Keys: map[string]string{}}
	for id, key := range k.keys {
		f.Keys[id] = base64.StdEncoding.EncodeToString(key.secret)
	}
	return json.Marshal(f)
}

// String hides the keys.
func (k *Keyring) String() string { return "keyring(" + k.primary + ")" }

// GoString hides the keys from %#v.
func (k *Keyring) GoString() string { return k.String() }

// Sign sets the event's signature: `v1,<key id>,<base64 HMAC-SHA256>`. Events are signed when sent, not when stored.
func (k *Keyring) Sign(e *Event) {
	var sum [sha256.Size]byte
	var room [128]byte
	b := append(append(append(room[:0], "v1,"...), k.primary...), ',')
	e.Signature = string(base64.StdEncoding.AppendEncode(b, k.keys[k.primary].mac(sum[:0], e)))
}

// Verify reports whether the event carries a valid signature of one of the accepted keys. No signature is false and no error;
// a signature that is there but wrong is a *Refusal, so that the caller can count it.
func (k *Keyring) Verify(e *Event) (bool, error) {
	if e.Signature == "" {
		return false, nil
	}
	version, rest, _ := strings.Cut(e.Signature, ",")
	id, sum, ok := strings.Cut(rest, ",")
	if !ok || version != "v1" {
		return false, Refuse(CodeInvalidSignature, "neuronx-sig is not v1,<key id>,<base64>")
	}
	key := k.keys[id]
	var want [sha256.Size]byte
	got, err := base64.StdEncoding.DecodeString(sum)
	if key == nil || err != nil || len(e.malformed) > 0 || !hmac.Equal(got, key.mac(want[:0], e)) {
		return false, Refuse(CodeInvalidSignature, "neuronx-sig does not match the event")
	}
	return true, nil
}

// mac appends the HMAC over a domain prefix, tenant, id, type, the set system attributes in sorted order and the SHA-256 of the
// value, all length-prefixed.
func (k *signingKey) mac(dst []byte, e *Event) []byte {
	m := k.macs.Get().(*macer)
	b := m.buf[:0]
	for _, s := range [...]string{"neuronx-sig v1", e.TenantID, e.ID, e.Type} {
		b = appendPart(b, s)
	}
	e.eachSystem(func(name, value string) { b = appendPart(appendPart(b, name), value) })
	sum := sha256.Sum256(e.Value)
	b = append(b, sum[:]...)
	m.hash.Reset()
	m.hash.Write(b)
	dst = m.hash.Sum(dst)
	m.buf = b
	k.macs.Put(m) // attributes are bounded, and so is buf
	return dst
}

// eachSystem calls fn for every system attribute that is set, sorted by name.
func (e *Event) eachSystem(fn func(name, value string)) {
	if e.CausationID != "" {
		fn(hCausation, e.CausationID)
	}
	if e.Deriver != "" {
		fn(hDeriver, e.Deriver)
	}
	if e.DeriverNumber != 0 {
		fn(hDeriverNumber, strconv.FormatInt(e.DeriverNumber, 10))
	}
	if e.Hops != 0 {
		fn(hHops, strconv.Itoa(e.Hops))
	}
	if e.Origin != "" {
		fn(hOrigin, string(e.Origin))
	}
	if e.Fingerprint != "" {
		fn(hFingerprint, e.Fingerprint)
	}
	if e.Forwarded != "" {
		fn(hForwarded, e.Forwarded)
	}
	if len(e.Path) > 0 {
		fn(hPath, formatPath(e.Path))
	}
	if e.Receipt != "" {
		fn(hReceipt, e.Receipt)
	}
	if e.Refused != "" {
		fn(hRefused, e.Refused)
	}
}

// CheckOrigin refuses an unsigned event whose origin its producer may not claim, or that has none and a header that looks like one: what was
// meant to be an import must not go on as live. It is asked before StripSystem, which takes such a claim off.
func (e *Event) CheckOrigin() *Refusal {
	if e.Origin == "" && !slices.Contains(e.malformed, hOrigin) {
		for i := range e.Extra {
			if name := e.Extra[i].Key; MeansOrigin(name) {
				return Refuse(CodeInvalidAttribute, "there is no ce_origin, and the header looks like one").At("header " + name).
					Hint("the origin is the header ce_origin: live, import or backfill; without one the event is live")
			}
		}
		return nil
	}
	if r := e.Origin.CheckClaimed(); r != nil {
		return r.At("header " + hOrigin)
	}
	return nil
}

// StripSystem removes what counts only under a signature from an unsigned event and returns the names of what it removed. The
// origins import and backfill stay, since they can only reduce effects.
func (e *Event) StripSystem() []string {
	stripped := append([]string(nil), e.malformed...)
	e.malformed = nil
	keep := e.Origin
	if keep != "" && keep.NeedsSignature() {
		keep = ""
	}
	if !e.Origin.Valid() {
		e.Origin = "" // it is among the malformed
	}
	e.eachSystem(func(name, _ string) {
		if name != hOrigin || keep == "" {
			stripped = append(stripped, name)
		}
	})
	e.CausationID, e.Deriver, e.DeriverNumber, e.Hops, e.Origin, e.Fingerprint, e.Forwarded, e.Path, e.Receipt = "", "", 0, 0, keep, "", "", nil, ""
	e.Refused = ""
	return stripped
}
