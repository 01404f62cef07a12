package ruleset

import (
	"os"
	"path/filepath"
	"strings"
)

// LeftOut names what lies in the folders among paths, looks like rules, and is none to Load: files such as a.YAML, a.yaml.txt or a.json, and
// subfolders with such files or rules. Publishing a folder removes the rules that it lacks, so a file that is overlooked removes a rule.
// What can't be read is not listed; Load reports it.
func LeftOut(paths ...string) []string {
	var out []string
	for _, path := range paths {
		entries, err := os.ReadDir(path)
		if err != nil {
			continue // a file
		}
		for _, e := range entries {
			name := e.Name()
			switch {
			case e.IsDir():
				inner, err := os.ReadDir(filepath.Join(path, name))
				for i := 0; err == nil && i < len(inner); i++ {
					if looksLikeRules(inner[i].Name()) && !isTestFile(filepath.Join(path, name, inner[i].Name())) {
						out = append(out, filepath.Join(path, name)+string(filepath.Separator))
						break
					}
				}
			case looksLikeRules(name) && !isRuleFile(name):
				out = append(out, filepath.Join(path, name))
			}
		}
	}
	return out
}

// isRuleFile tells whether Load takes a file of a folder.
func isRuleFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// isTestFile reports whether a file of a subfolder is a test, which no bundle misses.
func isTestFile(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false // and a pipe is not opened
	}
	files, err := LoadTests(path)
	return err == nil && len(files) == 1
}

func looksLikeRules(name string) bool {
	low := strings.ToLower(name)
	return strings.Contains(low, ".yaml") || strings.Contains(low, ".yml") || strings.HasSuffix(low, ".json")
}
