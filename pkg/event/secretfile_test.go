package event

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSecretFile_RefusesWhatOthersCanReadOrChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, fine := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o440: false, 0o644: false, 0o604: false, 0o620: false, 0o602: false, 0o666: false, 0o777: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		b, err := ReadSecretFile(path)
		if fine {
			if err != nil || string(b) != "s3cret" {
				t.Errorf("mode %04o: %q, %v", mode, b, err)
			}
			continue
		}
		var r *Refusal
		if !errors.As(err, &r) || r.Code != CodeUnsafe || !strings.Contains(r.Next, "chmod 600 "+path) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := ReadSecretFile(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, maxSecretFile+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSecretFile(path); err == nil {
		t.Error("a file of any size is read")
	}
}

// Kubernetes gives a process a secret as root's file, readable by the group that fsGroup names.
func TestCheckSecretFile_LetsAGroupReadOnlyWhatIsAnotherOwners(t *testing.T) {
	for mode, fine := range map[fs.FileMode]bool{0o400: true, 0o440: true, 0o640: true, 0o660: false, 0o444: false, 0o644: false, 0o642: false, 0o450: false} {
		if err := checkSecretMode("f", mode, false); (err == nil) != fine {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestLoadKeyring_RefusesKeysThatOthersCanRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	b, err := json.Marshal(NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	var r *Refusal
	if _, err := LoadKeyring(path); !errors.As(err, &r) || r.Code != CodeUnsafe || !strings.Contains(r.Detail, "mode 0644") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeyring(path); err != nil {
		t.Error(err)
	}
}
