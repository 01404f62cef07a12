package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/neuronx/engine/pkg/event"
)

const (
	maxKeyset     = 64 << 10 // bytes of a keyset's JSON; a key takes about 200
	maxKeys       = 64
	maxPlain      = 16 << 10 // bytes of what is sealed
	maxAssociated = 1 << 10  // bytes of associated data
	overhead      = 5 + 12 + 16
	keyType       = "type.googleapis.com/google.crypto.tink.AesGcmKey"
)

// ErrSealed says that a sealed text does not open: its key is not in the keyset, it was changed, or it was sealed for another row.
var ErrSealed = errors.New("it does not open: its key is not in the keyset, it was changed, or it belongs to another row")

// Vault seals with the primary key of its keyset and opens with all. It is safe for concurrent use.
type Vault struct {
	aead    tink.AEAD
	primary uint32
}

// Load reads the keyset that NEURONX_MASTER_KEYSET_FILE names. It refuses a file that others can read.
func Load(path string) (*Vault, error) {
	h, err := load(path)
	if err != nil {
		return nil, err
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, event.Refuse(event.CodeInvalidConfig, "master keyset %s: a key of it can't be used", path)
	}
	return &Vault{aead: a, primary: h.KeysetInfo().GetPrimaryKeyId()}, nil
}

func load(path string) (*keyset.Handle, error) {
	if path == "" {
		return nil, event.Refuse(event.CodeInvalidConfig, "no master keyset is configured").
			Hint("set NEURONX_MASTER_KEYSET_FILE to a file of mode 0600 with a Tink keyset of AES256_GCM keys")
	}
	b, err := event.ReadSecretFile(path)
	if err != nil {
		return nil, fmt.Errorf("read master keyset: %w", err)
	}
	h, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("master keyset %s: %w", path, err)
	}
	return h, nil
}

func parse(b []byte) (*keyset.Handle, error) {
	refuse := func(why string) (*keyset.Handle, error) {
		return nil, event.Refuse(event.CodeInvalidConfig, "%s", why)
	}
	if len(b) > maxKeyset {
		return refuse(fmt.Sprintf("it is over %d bytes, which no keyset is", maxKeyset))
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return refuse("it is no Tink keyset in cleartext JSON")
	}
	info := h.KeysetInfo()
	if n := len(info.GetKeyInfo()); n > maxKeys {
		return refuse(fmt.Sprintf("it has %d keys, over %d; take out those that seal nothing any more", n, maxKeys))
	}
	for _, k := range info.GetKeyInfo() {
		// A key without a prefix would be tried on every text, and nothing would tell which key seals what.
		if k.GetTypeUrl() != keyType || k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return refuse(fmt.Sprintf("its key %d is not of the kind AES256_GCM", k.GetKeyId()))
		}
	}
	return h, nil
}

// New makes a keyset with one key, in the form of the file; store it with mode 0600.
func New() ([]byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, errors.New("make a master keyset: Tink can't make a key")
	}
	return write(h)
}

// Added returns the keyset of b with another key, which opens and does not seal yet. Bring the file to every process first, then call Promoted: a
// process that has not read the key can't open what another sealed with it.
func Added(b []byte) ([]byte, error) {
	return change("add a key to a master keyset", b, func(h *keyset.Handle, m *keyset.Manager) error {
		if len(h.KeysetInfo().GetKeyInfo()) >= maxKeys {
			return event.Refuse(event.CodeInvalidConfig, "it has %d keys, and no more are read", maxKeys)
		}
		_, err := m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
}

// Promoted returns the keyset of b with its newest key as the one that seals. The others still open what they sealed.
func Promoted(b []byte) ([]byte, error) {
	return change("promote a key of a master keyset", b, func(h *keyset.Handle, m *keyset.Manager) error {
		info := h.KeysetInfo()
		newest := info.GetKeyInfo()[len(info.GetKeyInfo())-1].GetKeyId()
		if newest == info.GetPrimaryKeyId() {
			return event.Refuse(event.CodeInvalidConfig, "its newest key seals already").Hint("add another one first")
		}
		return m.SetPrimary(newest)
	})
}

func change(what string, b []byte, fn func(*keyset.Handle, *keyset.Manager) error) ([]byte, error) {
	h, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	m := keyset.NewManagerFromHandle(h)
	err = fn(h, m)
	if r := (*event.Refusal)(nil); errors.As(err, &r) {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err == nil {
		h, err = m.Handle()
	}
	if err != nil {
		return nil, errors.New(what + ": Tink can't do it") // its errors may quote keys
	}
	return write(h)
}

func write(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return nil, errors.New("write master keyset: Tink can't write it")
	}
	return b.Bytes(), nil
}

// Seal encrypts plain, of 1 byte to 16 KiB, and binds it to associated, of 1 byte to 1 KiB, without which it does not open.
func (v *Vault) Seal(plain, associated []byte) ([]byte, error) {
	switch {
	case len(plain) == 0 || len(plain) > maxPlain:
		return nil, fmt.Errorf("seal a secret: it has %d bytes, not 1 to %d", len(plain), maxPlain)
	case len(associated) == 0 || len(associated) > maxAssociated:
		return nil, fmt.Errorf("seal a secret: its associated data has %d bytes, not 1 to %d", len(associated), maxAssociated)
	}
	sealed, err := v.aead.Encrypt(plain, associated)
	if err != nil {
		return nil, errors.New("seal a secret: the cipher failed")
	}
	return sealed, nil
}

// Open decrypts what Seal gave for the same associated data; otherwise the error is ErrSealed.
func (v *Vault) Open(sealed, associated []byte) ([]byte, error) {
	if len(sealed) <= overhead || len(sealed) > maxPlain+overhead || len(associated) == 0 || len(associated) > maxAssociated {
		return nil, ErrSealed
	}
	plain, err := v.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// Newest reports whether a sealed text was sealed with the primary key.
func (v *Vault) Newest(sealed []byte) bool {
	return len(sealed) > 5 && sealed[0] == 1 && binary.BigEndian.Uint32(sealed[1:5]) == v.primary
}

// String hides the keys; the primary's id is no secret, it stands before each sealed text.
func (v *Vault) String() string { return fmt.Sprintf("vault(%d)", v.primary) }

// GoString hides the keys from %#v.
func (v *Vault) GoString() string { return v.String() }
