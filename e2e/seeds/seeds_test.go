package seeds

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeeds_EachAppliesToTheProductAndCompiles(t *testing.T) {
	if len(Names()) < 22 {
		t.Errorf("%d planted bugs, at least 22 were there", len(Names()))
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			overlay, err := Overlay("../..", name, dir)
			if err != nil {
				t.Fatal(err)
			}
			packages, err := Packages(name)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", overlay}, packages...)...)
			cmd.Dir = "../.."
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("e2e/seeds/%s.patch does not compile: %v\n%s", name, err, out)
			}
		})
	}
}

func TestOverlay_RefusesABugThatIsNotThere(t *testing.T) {
	if _, err := Overlay("../..", "nobody_planted_this", t.TempDir()); err == nil || !strings.Contains(err.Error(), "random_derived_ids") {
		t.Errorf("got %v, want an error that names those that are there", err)
	}
}

func TestOverlay_RefusesAPatchWhoseFileHasChanged(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "services/rules/derive.go")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("package rules\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Overlay(root, "random_derived_ids", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "random_derived_ids.patch: services/rules/derive.go has these lines 0 times") {
		t.Errorf("got %v, want an error that names the patch and the file", err)
	}
}

const small = `It doubles.

--- a/x/y.go
+++ b/x/y.go
@@ -7,3 +7,3 @@ func f() {
 	a()

-	b()
+	b()
+	b()
--- a/z.go
+++ b/z.go
@@ -1 +1 @@
-	c()
+	d()
`

func TestParse_ReadsWhatGitDiffPrints(t *testing.T) {
	changes, err := parse(small)
	if err != nil || len(changes) != 2 || changes[0].file != "x/y.go" || changes[1].file != "z.go" {
		t.Fatalf("%+v, %v", changes, err)
	}
	got, err := changes[0].apply("first\n\ta()\n\n\tb()\nlast\n")
	if want := "first\n\ta()\n\n\tb()\n\tb()\nlast\n"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestParse_RefusesWhatIsNoPatch(t *testing.T) {
	for what, patch := range map[string]string{
		"no file":             "only words\n",
		"no hunk":             "--- a/x.go\n+++ b/x.go\n",
		"words for a hunk":    "--- a/x.go\n+++ b/x.go\nwords\n",
		"words within":        "--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\nwords\n",
		"nothing of a second": "--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n-a\n+b\n--- a/y.go\n+++ b/y.go\n",
	} {
		if changes, err := parse(patch); err == nil {
			t.Errorf("%s: taken for %+v", what, changes)
		}
	}
}

func TestApply_RefusesLinesThatAreNotThereExactlyOnce(t *testing.T) {
	c := change{file: "x.go", hunks: []hunk{{before: "\tb()\n", after: "\tc()\n"}}}
	for text, times := range map[string]string{"\ta()\n": "0 times", "\tb()\n\tb()\n": "2 times", "\ta() \tb()\n": "0 times", "\tb() // not\n": "0 times"} {
		if got, err := c.apply(text); err == nil || !strings.Contains(err.Error(), "x.go has these lines "+times) {
			t.Errorf("%q became %q, %v; want an error that says %s", text, got, err, times)
		}
	}
	if got, err := (change{file: "x.go", hunks: []hunk{{before: "\tb()\n", after: "\tb()\n"}}}).apply("\tb()\n"); err == nil {
		t.Errorf("a hunk that changes nothing gave %q", got)
	}
}
