package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// fullDisk takes some bytes and then none.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		n := d.left
		d.left = 0
		return n, errors.New("no space left on device")
	}
	d.left -= len(p)
	return len(p), nil
}

// A full disk must not look like success: a script goes on with what it got.
func TestOutput_ThatIsNotWrittenIsNoSuccess(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range []string{"version", "version -o json", "--help", "tenant --help", "schemas asyncapi", "schemas check", "schemas check -o json"} {
		for _, room := range []int{0, 10} {
			var errs bytes.Buffer
			code := tool(nil, &fullDisk{room}, &errs).run(context.Background(), strings.Fields(args))
			if code != exitPartial || !strings.Contains(errs.String(), "no space left on device") || strings.Count(errs.String(), "could not be written") != 1 {
				t.Errorf("%s with room for %d bytes: exit %d, %s", args, room, code, errs.String())
			}
		}
		if code, out, errs := try(t, nil, strings.Fields(args)...); code != exitOK || out == "" {
			t.Errorf("%s: exit %d, %s", args, code, errs)
		}
	}
}

// A key exists from the moment it is recorded, and only its secret opens anything.
func TestShowKey_ShowsASecretThatIsRecordedAndSaysWhenItCouldNot(t *testing.T) {
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	late := operate.Partial("it is recorded as sequence 7, but not applied yet")
	for name, x := range map[string]struct {
		err    error
		room   int
		shown  bool
		kind   operate.Kind // 0: no error
		revoke bool
	}{
		"it works":                        {nil, 1000, true, 0, false},
		"it is recorded":                  {late, 1000, true, operate.KindPartial, false},
		"it was refused":                  {operate.Fail("the engine refused it", nil), 1000, false, operate.KindFailed, false},
		"it works and is not shown":       {nil, 5, false, operate.KindPartial, true},
		"it is recorded and is not shown": {late, 5, false, operate.KindPartial, true},
	} {
		for _, format := range []string{formatTable, formatJSON} {
			var out, errs bytes.Buffer
			disk := &fullDisk{x.room}
			c := tool(nil, both{&out, disk}, &errs)
			c.format = format
			got := c.showKey(key, []string{tenant.ScopeRead}, x.err)
			var e *operate.Error
			errors.As(got, &e)
			if (got == nil) != (x.kind == 0) || e != nil && (e.Kind != x.kind || strings.Contains(e.Next, "key revoke "+key.ID+" --tenant acme") != x.revoke) {
				t.Errorf("%s, %s: %+v", name, format, got)
			}
			if strings.Contains(out.String(), key.Reveal()) != x.shown || strings.Contains(errs.String(), key.Reveal()) || e != nil && strings.Contains(e.Error()+e.Next, key.Reveal()) {
				t.Errorf("%s, %s: stdout %q, stderr %q", name, format, out.String(), errs.String())
			}
		}
	}
}

// both writes to the disk, and what fits there to the buffer.
type both struct {
	out  *bytes.Buffer
	disk *fullDisk
}

func (b both) Write(p []byte) (int, error) {
	n, err := b.disk.Write(p)
	b.out.Write(p[:n])
	return n, err
}
