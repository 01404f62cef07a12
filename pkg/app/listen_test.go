package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/event"
)

func told(err error) string {
	var r *event.Refusal
	if !errors.As(err, &r) {
		return fmt.Sprint(err)
	}
	return r.Detail + " | " + r.Next
}

func TestListen_TellsAnAddressInUseFromOneThatIsNotAllowedOrNotHere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, inUse := Listen(l.Addr().String(), "http")
	_, elsewhere := Listen("192.0.2.1:0", "http")
	denied := ListenError(":80", "http", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)})
	for want, err := range map[string]error{
		"is in use by another program": inUse, "no network interface": elsewhere, "this user may not listen on :80": denied,
	} {
		if got := told(err); !strings.Contains(got, want) || !strings.Contains(got, "--http") {
			t.Errorf("%s: %s", want, got)
		}
	}
}

func TestFileError_TellsAMissingFileFromOneThatMayNotBeRead(t *testing.T) {
	dir := t.TempDir()
	_, missing := os.ReadFile(dir + "/keys.json")
	_, folder := os.ReadFile(dir)
	for want, err := range map[string]error{"there is no file": missing, "is a folder": folder, "may not read": os.ErrPermission} {
		if got := told(FileError("signing keys", dir, "NEURONX_SIGNING_KEYS_FILE", err)); !strings.Contains(got, want) {
			t.Errorf("%s: %s", want, got)
		}
	}
}

func TestLoad_RefusesASecretWhoseFileIsNotThere(t *testing.T) {
	t.Setenv("NEURONX_POSTGRES_URL_FILE", t.TempDir()+"/nowhere")
	var out, errs strings.Builder
	s := &Service{Name: "x", Flags: func(fs *pflag.FlagSet) { new(Settings).Bind(fs, PostgresURL) }}
	if code := run(s, nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), "there is no file") {
		t.Errorf("%d %s", code, errs.String())
	}
}
