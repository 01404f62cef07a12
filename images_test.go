package engine

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestImagesArePinned refuses an image whose content may change under its name.
func TestImagesArePinned(t *testing.T) {
	type image struct{ where, name string }
	var all []image
	var compose struct {
		Services map[string]struct {
			Image string `yaml:"image"`
			Build any    `yaml:"build"`
		} `yaml:"services"`
	}
	readYAML(t, "docker-compose.yml", &compose)
	for name, s := range compose.Services {
		if s.Build == nil {
			all = append(all, image{"docker-compose.yml, service " + name, s.Image})
		}
	}
	files, err := filepath.Glob("deploy/*/Dockerfile*")
	if err != nil {
		t.Fatal(err)
	}
	from := regexp.MustCompile(`(?mi)^FROM\s+(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?|--from=(\S+)`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		stages := map[string]bool{"scratch": true}
		for _, m := range from.FindAllStringSubmatch(string(b), -1) {
			if name := m[1] + m[3]; !stages[name] {
				all = append(all, image{f, name})
			}
			stages[m[2]] = true
		}
	}
	for _, s := range sources(t) {
		for _, m := range regexp.MustCompile(`(?m)^\s*\w*Image\s*=\s*"([^"]+)"`).FindAllStringSubmatch(s.text, -1) {
			all = append(all, image{s.path, m[1]})
		}
	}
	if len(all) < 8 {
		t.Fatalf("only %d images found", len(all))
	}
	// A version to its last number, or a digest: `18` is another server next month.
	pinned := regexp.MustCompile(`@sha256:[0-9a-f]{64}$|:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$`)
	twoNumbers := regexp.MustCompile(`(^|/)golang:\d+\.\d+(-|$)`) // the third is the one that changes
	variable := regexp.MustCompile(`^\$\{\w+:-(.+)\}$`)
	for _, i := range all {
		name := i.name
		if m := variable.FindStringSubmatch(name); m != nil {
			name = m[1]
		}
		if !pinned.MatchString(name) || twoNumbers.MatchString(name) {
			t.Errorf("%s runs %q: name a full version", i.where, name)
		}
	}
}
