package cli

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate"
)

func TestParseEnv_UnquotesAndRefusesWhatIsNoAssignment(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                            {},
		"\n # a comment\n\n":          {},
		"A=1\nB=2":                    {"A": "1", "B": "2"},
		"export A=1":                  {"A": "1"},
		" A = 1 ":                     {"A": "1"},
		"A=":                          {"A": ""},
		"A=''":                        {"A": ""},
		`A=""`:                        {"A": ""},
		"A='x y'\nB=\"z\"":            {"A": "x y", "B": "z"},
		"A=it's":                      {"A": "it's"},
		"A=x=y":                       {"A": "x=y"},
		"A=postgres://u:p@h/d?a=b#c ": {"A": "postgres://u:p@h/d?a=b#c"},
		"A=1\nA=1":                    {"A": "1"},
		"A=1\r\nB='2'\r\n":            {"A": "1", "B": "2"},
		"\ufeffA=1\nB=2":              {"A": "1", "B": "2"},
		`A='/home/o'\''brien/x'`:      {"A": "/home/o'brien/x"}, // as dev.env has it
		`A="a\"b\\c\d$e"`:             {"A": `a"b\c\d$e`},
		"A='x' # a comment":           {"A": "x"},
		"A='#x'":                      {"A": "#x"},
		"A=x#y":                       {"A": "x#y"},
		"A=a b":                       {"A": "a b"},
	} {
		if got, err := parseEnv(text); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, line := range map[string]string{"A": "line 1", "=1": "line 1", "A=1\n\nB C=2": "line 3", "A=1\nexport =2": "line 2", "A\tB=1": "line 1", "A-B=1": "line 1"} {
		if got, err := parseEnv(text); err == nil || got != nil || err.Error() != "invalid_config: "+line+" is not NAME=value" {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// What a shell, or another program, would read otherwise than this one names another engine, or none.
func TestParseEnv_RefusesWhatProgramsReadDifferently(t *testing.T) {
	for text, says := range map[string]string{
		"A='":            "line 1: the value of A has a quote that is not closed",
		`A="x`:           "line 1: the value of A has a quote that is not closed",
		"A='x\"":         "line 1: the value of A has a quote that is not closed",
		"B=1\nA='x' y":   "line 2: the value of A goes on after its quotes",
		"A=1 # x":        "line 1: the value of A has a # after a blank",
		"A=# x":          "line 1: the value of A has a # after a blank",
		"A=1\nB=2\nA=2":  "line 3 sets A again, to another value",
		"A=secret\nA=''": "line 2 sets A again, to another value",
	} {
		got, err := parseEnv(text)
		if err == nil || got != nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, says)
		}
	}
}

func TestParseEnv_ReadsWhatAShellReads(t *testing.T) {
	for _, value := range []string{"", "plain", "a b", "o'brien", `say "x"`, `back\slash`, "$HOME", "#no comment", " blanks ", "'", `"`, `''`, "postgres://u:p%40@h/d?a=b#c"} {
		line := "A='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		if got, err := parseEnv(line); err != nil || got["A"] != value {
			t.Errorf("%s: %q, %v, want %q", line, got["A"], err, value)
		}
		sh, err := exec.Command("sh", "-c", line+`; printf %s "$A"`).Output()
		if err != nil || string(sh) != value {
			t.Errorf("%s: a shell reads %q, %v", line, sh, err)
		}
	}
}

// A misspelt name is neither absent nor some other program's.
func TestEnvFile_AMisspeltNameIsNotLeftOut(t *testing.T) {
	t.Chdir(t.TempDir())
	for line, meant := range map[string]string{
		"NEURONX_KAFKA_TSL=true": "NEURONX_KAFKA_TLS", "NEURONIX_POSTGRES_URL=x": "NEURONX_POSTGRES_URL", "neuronx_http_url=x": "NEURONX_HTTP_URL",
		"NEURONX_POSTGRES_URL_FIEL=x": "NEURONX_POSTGRES_URL_FILE", "NEURONX_KAFKA_BROKER=x": "NEURONX_KAFKA_BROKERS",
	} {
		write(t, "e", line+"\n")
		code, _, errs := try(t, nil, "status", "--env-file", "e")
		if name, _, _ := strings.Cut(line, "="); code != exitUsage || !strings.Contains(errs, name) || !strings.Contains(errs, "did you mean "+meant+"?") {
			t.Errorf("%s: exit %d, %s", line, code, errs)
		}
	}
	write(t, "e", "PATH=/bin\nNEURONX_TEST_SEED=1\nNEURONX_KAFKA_PORT=9092\nNEURONX_CRM_URL=x\nNEURONX_API_KEY_FILE=/k\nNEURONX_HTTP_PORT=1\n")
	if code, _, errs := try(t, nil, "version", "--env-file", "e"); code != exitOK {
		t.Errorf("names that others read: %s", errs)
	}
}

// Exported settings of one engine must not be filled up from the file of another one that is in the folder.
func TestEnvFile_OfTheFolderIsNotMixedWithAnotherEngine(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir(".neuronx", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, operate.DefaultEnvFile, "NEURONX_KAFKA_BROKERS='127.0.0.1:1'\nNEURONX_POSTGRES_URL='postgres://u:hidden@127.0.0.1:1/d'\nNEURONX_HTTP_URL=http://127.0.0.1:1\n")
	pw := filepath.Join(t.TempDir(), "url")
	write(t, pw, "postgres://u:other@db.example.com/d")
	for name, x := range map[string]struct {
		env   map[string]string
		args  []string
		mixed bool
	}{
		"other brokers":        {map[string]string{"NEURONX_KAFKA_BROKERS": "kafka.example.com:9092"}, nil, true},
		"another database":     {map[string]string{"NEURONX_POSTGRES_URL_FILE": pw}, nil, true},
		"the same":             {map[string]string{"NEURONX_KAFKA_BROKERS": "127.0.0.1:1"}, nil, false},
		"nothing":              {nil, nil, false},
		"a file that is named": {map[string]string{"NEURONX_KAFKA_BROKERS": "127.0.0.2:1"}, []string{"--env-file", operate.DefaultEnvFile}, false},
		"a flag instead":       {map[string]string{"NEURONX_KAFKA_BROKERS": "kafka.example.com:9092"}, []string{"--kafka-brokers", "127.0.0.1:1"}, false},
		"what is no address":   {map[string]string{"NEURONX_KAFKA_SASL_USERNAME": "x"}, nil, false},
		"another way to HTTP":  {map[string]string{"NEURONX_HTTP_URL": "http://x.example.com"}, nil, false},
	} {
		code, _, errs := try(t, x.env, append([]string{"tenant", "list", "--timeout", "1s"}, x.args...)...)
		if got := code == exitUsage && strings.Contains(errs, "two engines would be mixed"); got != x.mixed || strings.Contains(errs, "hidden") || strings.Contains(errs, "other@") {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		if code, _, errs := try(t, x.env, "version"); code != exitOK {
			t.Errorf("%s: version: %s", name, errs)
		}
	}
}

func TestEnvFile_MayNameTheFileOfASecret(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "url", "postgres://u:p@127.0.0.1:1/d\n")
	write(t, "e", "NEURONX_POSTGRES_URL_FILE="+filepath.Join(dir, "url")+"\n")
	if code, _, errs := try(t, nil, "tenant", "list", "--env-file", "e", "--timeout", "1s"); code == exitUsage || !strings.Contains(errs, "127.0.0.1:1") {
		t.Errorf("exit %d, %s", code, errs)
	}
	write(t, "e", "NEURONX_POSTGRES_URL_FILE="+filepath.Join(dir, "none")+"\n")
	if code, _, errs := try(t, nil, "tenant", "list", "--env-file", "e"); code == exitOK || !strings.Contains(errs, "NEURONX_POSTGRES_URL_FILE in the env file") {
		t.Errorf("a file that is not there: exit %d, %s", code, errs)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
