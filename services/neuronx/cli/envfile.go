package cli

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// loadEnvFile reads the file that --env-file names; the default may be absent.
func (c *cli) loadEnvFile() error {
	path := c.envFile
	if path == "" {
		path = operate.DefaultEnvFile
	}
	b, err := os.ReadFile(path)
	if err != nil {
		if c.envFile == "" && os.IsNotExist(err) {
			return nil
		}
		return operate.Fail("read the env file", err)
	}
	vars, err := parseEnv(string(b))
	if err == nil {
		err = misspelt(vars, c.knownSettings())
	}
	if err != nil {
		return operate.Fail("read the env file "+path, err)
	}
	for _, env := range secrets {
		if vars[env] == "" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil {
			err = event.CheckSecretFile(path, info)
		}
		if err != nil {
			return operate.Fail("read the env file, which holds "+env, err)
		}
	}
	c.source.File, c.env.HaveFile = vars, true
	if c.envFile == "" {
		c.env.Unfit = c.otherEngine(vars)
	}
	return nil
}

// addresses are the settings that say where an engine's data is. One endpoint of an engine may be reached in several ways, so those of HTTP
// are none.
var addresses = []string{operate.EnvBrokers, operate.EnvPostgres, operate.EnvAdmin, operate.EnvRegistry}

// otherEngine refuses to fill up exported settings of one engine from the file of another one, which merely was in the folder: a verb would
// do one half of its work here and the other half there.
func (c *cli) otherEngine(vars map[string]string) error {
	for _, env := range addresses {
		v, from, ok, err := c.source.Lookup(env, slices.Contains(secrets, env))
		if p := c.settings[env]; p != nil && *p != "" || err != nil || !ok || from == "file" || vars[env] == "" || v == vars[env] {
			continue
		}
		return operate.Usage("%s is set to another engine than that of %s, which is in this folder", from, operate.DefaultEnvFile).
			Because("settings that are not exported would come from the file, so two engines would be mixed").
			Hint("unset %s to use the engine of this folder; or name the file that belongs to it with --env-file, or go to another folder", from)
	}
	return nil
}

// knownSettings are the names that an env file may give a meaning.
func (c *cli) knownSettings() []string {
	known := append(slices.Collect(maps.Keys(c.settings)), operate.EnvSecrets, "NEURONX_CRM_URL")
	for _, env := range secrets {
		known = append(known, env, env+"_FILE")
	}
	return known
}

// misspelt refuses a name that nothing reads and that is nearly one that is read: the setting would be missing, and some have a default, such
// as no TLS. Other names are other programs'.
func misspelt(vars map[string]string, known []string) error {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if slices.Contains(known, name) {
			continue
		}
		for _, k := range slices.Sorted(slices.Values(known)) {
			if operate.Distance(strings.ToUpper(name), k) <= 2 {
				return event.Refuse(event.CodeInvalidConfig, "nothing reads %s", name).Hint("did you mean " + k + "?")
			}
		}
	}
	return nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseEnv reads NAME=value lines as a shell does that reads the file, as far as they mean something to it and nothing is expanded: comments,
// blank lines, a leading "export", and quotes. An unquoted value may have blanks in it. What programs read differently is refused: a
// quote that is not closed, " #" in an unquoted value, and a name that is set twice.
func parseEnv(text string) (map[string]string, error) {
	out := map[string]string{}
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if name = strings.TrimSpace(name); !ok || !envName.MatchString(name) {
			return nil, event.Refuse(event.CodeInvalidConfig, "line %d is not NAME=value", i+1)
		}
		value, problem := unquote(strings.TrimSpace(value))
		if problem != "" {
			return nil, event.Refuse(event.CodeInvalidConfig, "line %d: the value of %s %s", i+1, name, problem)
		}
		if before, set := out[name]; set && before != value {
			return nil, event.Refuse(event.CodeInvalidConfig, "line %d sets %s again, to another value", i+1, name).Hint("take one of the lines out")
		}
		out[name] = value
	}
	return out, nil
}

// unquote is a value as a shell reads it, or what is wrong with it.
func unquote(s string) (value, problem string) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		if strings.HasPrefix(s, "#") || strings.Contains(s, " #") || strings.Contains(s, "\t#") {
			return "", "has a # after a blank, which begins a comment for some programs: quote it, or put the comment on a line of its own"
		}
		return s, ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return "", "has a quote that is not closed"
			}
			b.WriteString(s[i+1 : i+1+end])
			i += 1 + end
		case c == '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0 {
					i++
				}
				b.WriteByte(s[i])
			}
			if i == len(s) {
				return "", "has a quote that is not closed"
			}
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == ' ' || c == '\t':
			if rest := strings.TrimSpace(s[i:]); !strings.HasPrefix(rest, "#") {
				return "", "goes on after its quotes"
			}
			return b.String(), ""
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
