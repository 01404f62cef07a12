package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func TestImport_SummaryFitsATerminalAndTellsEveryOutcome(t *testing.T) {
	var out bytes.Buffer
	c := tool(nil, &out, io.Discard)
	counts := importer.Counts{Rows: 1 << 40, LeftOut: 1, Tally: importer.Tally{Admitted: 1 << 39, Duplicate: 3, Conflict: 4, Refused: 5, Unjudged: 6}}
	err := c.importDone([]importer.Result{{File: strings.Repeat("a-very-long-name-", 9) + ".csv", Counts: counts}}, importFlags{}, nil)
	if exit := report(&bytes.Buffer{}, formatTable, err); exit != exitPartial {
		t.Errorf("exit %d with conflicts and refusals", exit)
	}
	for _, want := range []string{"read", "admitted", "duplicate", "conflict", "refused", "left out", "not yet judged"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, " \n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestImport_EmptyAndContradictoryFlagsAreRefused(t *testing.T) {
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(spec, []byte("apiVersion: neuronx/v1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[string]string{
		"--dir=":                     "--dir is empty",
		"--rejects=":                 "--rejects is empty",
		"--tenant=":                  "--tenant is empty",
		"--batch=0":                  "--batch must be",
		"--update --without-archive": "--update needs the archive",
		"--rejekts=x":                "--rejects",
	} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), append([]string{"import", spec}, strings.Fields(flags)...), strings.NewReader(""), &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d, %s", flags, code, errs.String())
		}
	}
}

func TestImport_WithoutAKeyIsNotTakenForTheDemoTenants(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	key, err := tenant.NewKey("demo")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(endpoint.Close)
	for name, text := range map[string]string{
		".neuronx/dev.env": "NEURONX_HTTP_URL=" + endpoint.URL + "\nNEURONX_DEMO_API_KEY=" + key.Reveal() + "\n",
		"leads.csv":        "id\n1\n",
		"spec.yaml":        "apiVersion: neuronx/v1\nkind: Import\nmetadata: {name: x}\nspec:\n  inputs:\n    - {file: leads.csv, events: [{type: lead.created, id: row.id, data: {lead_id: row.id}}]}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, errs := try(t, nil, "import", "spec.yaml")
	if code != exitUsage || !strings.Contains(errs, "it is not known into which tenant") || !strings.Contains(errs, "--tenant demo") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs = try(t, nil, "import", "spec.yaml", "--tenant", "demo", "--without-archive"); code == exitOK || !strings.Contains(errs, "importing into tenant demo") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs = try(t, nil, "import", "spec.yaml", "--dry-run"); code != exitOK || !strings.Contains(errs, "what the archive holds is not compared") {
		t.Errorf("a dry run: exit %d: %s", code, errs)
	}
	if _, _, errs = try(t, nil, "publish", "lead.created"); !strings.Contains(errs, "using the key of tenant demo") {
		t.Errorf("publish does not tell whose key it uses: %s", errs)
	}
}

func TestImport_SaysToRunAgainOnceTheFileIsMended(t *testing.T) {
	c := tool(nil, io.Discard, io.Discard)
	for _, x := range []struct {
		err  error
		says bool
	}{{errors.New("leads.csv is empty, not even a header is there"), true}, {context.Canceled, false}} {
		var e *operate.Error
		if err := c.importDone(nil, importFlags{}, x.err); !errors.As(err, &e) || strings.Contains(e.Next, "mended") != x.says || !strings.Contains(e.Next, "run the same command again") {
			t.Errorf("%v: %+v", x.err, err)
		}
	}
}
