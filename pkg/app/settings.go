package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/secret"
)

// Secret is a setting that hides itself wherever it is printed.
type Secret = secret.Text

// Settings are those that more than one service has.
type Settings struct {
	KafkaBrokers    []string
	KafkaSecurity   KafkaSecurity
	PostgresURL     Secret
	RegistryURL     string
	SigningKeysFile string
	SecretsDir      string
}

// Setting names one of the shared settings.
type Setting string

// The shared settings, by flag name.
const (
	KafkaBrokers    Setting = "kafka-brokers"
	PostgresURL     Setting = "postgres-url"
	RegistryURL     Setting = "schema-registry-url"
	SigningKeysFile Setting = "signing-keys-file"
	SecretsDir      Setting = "secrets-dir"
)

// Bind declares the flags of the settings that a service needs.
func (s *Settings) Bind(fs *pflag.FlagSet, needs ...Setting) {
	for _, n := range needs {
		switch n {
		case KafkaBrokers:
			fs.StringSliceVar(&s.KafkaBrokers, string(n), s.KafkaBrokers, "Kafka bootstrap servers, host:port, comma-separated")
			s.KafkaSecurity.Bind(fs)
		case PostgresURL:
			fs.Var(&s.PostgresURL, string(n), "Postgres URL of this service's own role")
		case RegistryURL:
			fs.StringVar(&s.RegistryURL, string(n), s.RegistryURL, "URL of a Confluent-compatible schema registry")
		case SigningKeysFile:
			fs.StringVar(&s.SigningKeysFile, string(n), s.SigningKeysFile, "JSON file of the engine's signing keys")
		case SecretsDir:
			fs.StringVar(&s.SecretsDir, string(n), s.SecretsDir, "folder of secret files <id>@<version>")
		}
	}
}

// Require returns one error that names every setting of needs that is empty.
func (s *Settings) Require(needs ...Setting) error {
	var errs []error
	for _, n := range needs {
		empty := map[Setting]bool{
			KafkaBrokers: len(s.KafkaBrokers) == 0, PostgresURL: s.PostgresURL == "", RegistryURL: s.RegistryURL == "",
			SigningKeysFile: s.SigningKeysFile == "", SecretsDir: s.SecretsDir == "",
		}[n]
		if empty {
			errs = append(errs, event.Refuse(event.CodeInvalidConfig, "--%s is not set", n).Hint("set the flag or "+EnvName(string(n))))
		}
		if n == KafkaBrokers {
			errs = append(errs, s.KafkaSecurity.Validate())
		}
	}
	return errors.Join(errs...)
}

// EnvName is the environment variable of a flag: NEURONX_KAFKA_BROKERS for kafka-brokers.
func EnvName(flag string) string {
	return "NEURONX_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Load parses args and fills what they leave open from the environment, then from the YAML file that --config or NEURONX_CONFIG
// names (keys are flag names, unknown ones are errors), then from the defaults. A secret may also come from the file that
// NEURONX_<NAME>_FILE names.
func Load(fs *pflag.FlagSet, args []string) error {
	file := fs.String("config", os.Getenv("NEURONX_CONFIG"), "YAML file of settings, keys as the flags are named")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return event.Refuse(event.CodeUsage, "unexpected argument %q", fs.Arg(0))
	}
	values, err := readFile(*file)
	if err != nil {
		return err
	}
	var errs []error
	source := Source{Getenv: os.LookupEnv, File: map[string]string{}}
	for name, v := range values {
		source.File[EnvName(name)] = v
		if fs.Lookup(name) == nil {
			errs = append(errs, event.Refuse(event.CodeInvalidConfig, "%s: unknown key %q", *file, name).Hint(suggest(fs, name)))
		}
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" {
			return
		}
		_, hidden := f.Value.(*Secret)
		v, from, ok, err := source.Lookup(EnvName(f.Name), hidden)
		if err != nil {
			errs = append(errs, FileError("--"+f.Name, os.Getenv(from), from, err))
		}
		if !ok {
			return
		}
		if hidden && from == "file" {
			if err := checkFile(*file); err != nil {
				errs = append(errs, err)
				return
			}
		}
		if err := f.Value.Set(v); err != nil {
			if hidden {
				v = secret.Redacted
			}
			errs = append(errs, event.Refuse(event.CodeInvalidConfig, "%s: %q is no value for --%s", from, v, f.Name))
		}
	})
	return errors.Join(errs...)
}

// Source is where a setting comes from that no flag gives. Services and tools look in the same places in the same order.
type Source struct {
	Getenv func(name string) (string, bool) // os.LookupEnv, but for tests
	File   map[string]string                // what a settings file says, by the names of environment variables
}

// Lookup finds a setting by the name of its environment variable: in the variable, for a secret in the file that <name>_FILE names, then in
// the settings file, under either name. from is where it was found: name, <name>_FILE or "file". The error is about the file that <name>_FILE
// names.
func (s Source) Lookup(name string, secret bool) (value, from string, ok bool, err error) {
	if v, ok := s.Getenv(name); ok {
		return v, name, true, nil
	}
	if path, _ := s.Getenv(name + "_FILE"); secret && path != "" {
		b, err := event.ReadSecretFile(path)
		return strings.TrimSpace(string(b)), name + "_FILE", err == nil, err
	}
	v, ok := s.File[name]
	if path := s.File[name+"_FILE"]; !ok && secret && path != "" {
		b, err := event.ReadSecretFile(path)
		return strings.TrimSpace(string(b)), "file", err == nil, err
	}
	return v, "file", ok, nil
}

// checkFile refuses a settings file with a secret in it that others can read.
func checkFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	return event.CheckSecretFile(path, info)
}

func readFile(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	var raw map[string]yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
		return nil, event.Refuse(event.CodeInvalidConfig, "%s is not YAML: %v", path, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, event.Refuse(event.CodeInvalidConfig, "%s has more than one document, of which only the first would be read", path).Hint("take out the line ---, and what is not meant")
	}
	out := map[string]string{}
	for k, n := range raw {
		v, problem := settingText(&n)
		if problem != "" {
			return nil, event.Refuse(event.CodeInvalidConfig, "%s: %q %s", path, k, problem)
		}
		out[k] = v
	}
	return out, nil
}

// settingText is a setting as it is written, so that 0600 stays 0600; of a list its parts, with commas between them. problem says what is
// wrong with it.
func settingText(n *yaml.Node) (text, problem string) {
	switch n.Kind {
	case yaml.AliasNode:
		return settingText(n.Alias)
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "", "has no value; take it out, or give it one"
		}
		return n.Value, ""
	case yaml.SequenceNode:
		parts := make([]string, len(n.Content))
		for i, part := range n.Content {
			if part.Kind != yaml.ScalarNode {
				return "", "has a list or a map in its list, settings are flat"
			}
			if parts[i], problem = settingText(part); problem != "" {
				return "", problem
			}
		}
		return strings.Join(parts, ","), ""
	}
	return "", "is a map, settings are flat"
}

// suggest names the flag that is most like name.
func suggest(fs *pflag.FlagSet, name string) string {
	best, bestLen := "", 0
	var names []string
	fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	sort.Strings(names)
	for _, n := range names {
		common := 0
		for common < len(n) && common < len(name) && n[common] == name[common] {
			common++
		}
		if common > bestLen {
			best, bestLen = n, common
		}
	}
	if bestLen < 3 {
		return "--help lists the settings"
	}
	return "did you mean " + best + "?"
}
