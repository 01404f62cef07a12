package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

const maxSecret = 16 << 10

var reference = regexp.MustCompile(`^secret://([A-Za-z0-9][A-Za-z0-9._-]{0,127})@([A-Za-z0-9][A-Za-z0-9._-]{0,63})$`)

// Secrets reads secrets from files <id>@<version> of one folder. Nothing is kept: a rotated secret is seen at its next use.
type Secrets struct{ dir string }

// NewSecrets reads from dir.
func NewSecrets(dir string) Secrets { return Secrets{dir: dir} }

// CheckReference refuses what is not secret://id@version.
func CheckReference(ref string) error {
	if !reference.MatchString(ref) {
		return errors.New("a token is named as secret://id@version")
	}
	return nil
}

// Read returns the secret that ref names, without surrounding white space. Errors name the reference, never the content. The
// folder is opened as a root: no name and no link leads out of it.
func (s Secrets) Read(ref string) (string, error) {
	m := reference.FindStringSubmatch(ref)
	if m == nil {
		return "", CheckReference(ref)
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return "", errors.New("open secrets folder: it is not there or can't be read")
	}
	defer root.Close()
	f, err := root.Open(m[1] + "@" + m[2])
	if err != nil {
		return "", fmt.Errorf("read secret %s: no such file in the secrets folder", ref)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read secret %s: not readable", ref)
	}
	if err := event.CheckSecretFile(filepath.Join(s.dir, m[1]+"@"+m[2]), info); err != nil {
		return "", fmt.Errorf("read secret %s: %w", ref, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil || len(b) > maxSecret {
		return "", fmt.Errorf("read secret %s: not readable or over %d bytes", ref, maxSecret)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return "", fmt.Errorf("read secret %s: empty, or holds what can't stand in a header", ref)
	}
	return token, nil
}
