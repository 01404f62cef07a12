package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/neuronx/engine/pkg/event"
)

const canary = "pit-canary-7f3a"

func file(t *testing.T, b []byte, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func fresh(t *testing.T) []byte {
	t.Helper()
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, b []byte) *Vault {
	t.Helper()
	v, err := Load(file(t, b, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t *testing.T, v *Vault, associated string) []byte {
	t.Helper()
	s, err := v.Seal([]byte(canary), []byte(associated))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVault_OpensWhatItSealedForTheSameRowOnly(t *testing.T) {
	v := open(t, fresh(t))
	sealed := seal(t, v, "gohighlevel|location/a|1")
	if bytes.Contains(sealed, []byte(canary)) {
		t.Fatal("the sealed text has the secret in it")
	}
	if bytes.Equal(sealed, seal(t, v, "gohighlevel|location/a|1")) {
		t.Error("sealed twice it is the same: the nonce is not fresh")
	}
	if got, err := v.Open(sealed, []byte("gohighlevel|location/a|1")); err != nil || string(got) != canary {
		t.Fatalf("opened %d bytes, %v", len(got), err)
	}
	for _, row := range []string{"gohighlevel|location/b|1", "gohighlevel|location/a|2", "webhook|location/a|1", "x"} {
		if got, err := v.Open(sealed, []byte(row)); !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("it opens as %s: %v", row, err)
		}
	}
}

func TestVault_OpensNothingThatWasChanged(t *testing.T) {
	v := open(t, fresh(t))
	sealed := seal(t, v, "row")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := v.Open(changed, []byte("row")); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d changed, and it opens: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := v.Open(sealed[:n], []byte("row")); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes it opens: %v", n, err)
		}
	}
}

func TestPromoted_SealsWithTheNewKeyAndOpensWithTheOld(t *testing.T) {
	first := fresh(t)
	old := open(t, first)
	sealed := seal(t, old, "row")
	second, err := Added(first)
	if err != nil {
		t.Fatal(err)
	}
	added := open(t, second)
	if s := seal(t, added, "row"); added.String() != old.String() || !old.Newest(s) || !added.Newest(s) {
		t.Error("a key that was added seals before it is promoted")
	}
	third, err := Promoted(second)
	if err != nil {
		t.Fatal(err)
	}
	promoted := open(t, third)
	if promoted.String() == old.String() || promoted.Newest(sealed) || promoted.Newest(nil) || !promoted.Newest(seal(t, promoted, "row")) {
		t.Error("the key that was promoted does not seal")
	}
	if got, err := promoted.Open(sealed, []byte("row")); err != nil || string(got) != canary {
		t.Errorf("what the old key sealed does not open: %v", err)
	}
	if got, err := added.Open(seal(t, promoted, "row"), []byte("row")); err != nil || string(got) != canary {
		t.Errorf("a process that has the key and not its promotion can't open: %v", err)
	}
	if _, err := old.Open(seal(t, promoted, "row"), []byte("row")); !errors.Is(err, ErrSealed) {
		t.Errorf("the old keyset opens what the new key sealed, so the old key did: %v", err)
	}
	if _, err := open(t, fresh(t)).Open(sealed, []byte("row")); !errors.Is(err, ErrSealed) {
		t.Errorf("another keyset opens it: %v", err)
	}
	var r *event.Refusal
	if _, err := Promoted(third); !errors.As(err, &r) || !strings.Contains(err.Error(), "seals already") {
		t.Errorf("promoted again: %v", err)
	}
}

func TestAdded_StopsAtTheMostKeysThatAreRead(t *testing.T) {
	b := fresh(t)
	for range maxKeys - 1 {
		var err error
		if b, err = Added(b); err != nil {
			t.Fatal(err)
		}
	}
	open(t, b)
	if _, err := Added(b); err == nil {
		t.Errorf("key %d was added, and no Load takes that", maxKeys+1)
	}
	for _, fn := range []func([]byte) ([]byte, error){Added, Promoted} {
		if _, err := fn([]byte(`{"` + canary + `":1}`)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("no keyset: %v", err)
		}
	}
}

func TestLoad_RefusesFilesThatOthersCanRead(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o620} {
		_, err := Load(file(t, fresh(t), mode))
		var r *event.Refusal
		if !errors.As(err, &r) || r.Code != event.CodeUnsafe || !strings.Contains(r.Next, "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestLoad_SaysWhatIsWrongAndQuotesNothing(t *testing.T) {
	written := func(tmpl *tinkpb.KeyTemplate) []byte {
		h, err := keyset.NewHandle(tmpl)
		if err != nil {
			t.Fatal(err)
		}
		b, err := write(h)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":          {nil, "no Tink keyset"},
		"no JSON":        {[]byte(canary), "no Tink keyset"},
		"no keys":        {[]byte(`{"primaryKeyId":1,"key":[]}`), "no Tink keyset"},
		"unknown field":  {[]byte(`{"` + canary + `":1}`), "no Tink keyset"},
		"bad value":      {[]byte(`{"primaryKeyId":"` + canary + `"}`), "no Tink keyset"},
		"half a file":    {fresh(t)[:80], "no Tink keyset"},
		"without prefix": {written(aead.AES256GCMNoPrefixKeyTemplate()), "AES256_GCM"},
		"another cipher": {written(aead.ChaCha20Poly1305KeyTemplate()), "AES256_GCM"},
		"no cipher":      {written(mac.HMACSHA256Tag256KeyTemplate()), "AES256_GCM"},
		"too large":      {bytes.Repeat([]byte(" "), maxKeyset+1), "over"},
	} {
		_, err := Load(file(t, c.content, 0o600))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(""); err == nil || !strings.Contains(err.Error(), "NEURONX_MASTER_KEYSET_FILE") {
		t.Errorf("not configured: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestVault_BoundsWhatItSealsAndOpens(t *testing.T) {
	v := open(t, fresh(t))
	for _, n := range []int{0, maxPlain + 1} {
		if _, err := v.Seal(make([]byte, n), []byte("row")); err == nil {
			t.Errorf("%d bytes were sealed", n)
		}
	}
	for _, n := range []int{0, maxAssociated + 1} {
		if _, err := v.Seal([]byte(canary), make([]byte, n)); err == nil {
			t.Errorf("sealed with %d bytes of associated data", n)
		}
	}
	most, err := v.Seal(make([]byte, maxPlain), []byte("row"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Open(most, []byte("row")); err != nil || len(got) != maxPlain {
		t.Errorf("the longest secret does not open: %d bytes, %v", len(got), err)
	}
	if _, err := v.Open(make([]byte, 1<<20), []byte("row")); !errors.Is(err, ErrSealed) {
		t.Errorf("a megabyte: %v", err)
	}
}

func TestVault_IsFormattedWithoutItsKeys(t *testing.T) {
	v := open(t, fresh(t))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, v); !strings.HasPrefix(s, "vault(") || len(s) > 20 {
			t.Errorf("%s gives %d bytes, not the name and the primary's id", verb, len(s))
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"primaryKeyId":1,"key":[{"keyId":1,"status":"ENABLED","outputPrefixType":"TINK"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parse(b)
		if err != nil {
			var r *event.Refusal
			if !errors.As(err, &r) {
				t.Errorf("refused without a code: %v", err)
			}
			return
		}
		_, _ = aead.New(h) // may refuse the key; must not panic
	})
}
