package importer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"github.com/neuronx/engine/pkg/event"
)

// imported runs an import of one file and returns what became of its rows, and what was sent.
func importFile(t *testing.T, options, name, text string, change func(*Options)) (Result, []Rejection, []Event, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse([]byte(`
apiVersion: neuronx/v1
kind: Import
metadata: {name: crm}
spec:
  inputs:
    - file: ` + name + `
` + options + `
      events:
        - type: lead.created
          id: row.id
          subject: "'lead/' + row.id"
          data: {lead_id: row.id, email: row.email, last_name: row.name}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Bind(context.Background(), Builtin{}, true); err != nil {
		t.Fatal(err)
	}
	d := &engine{}
	var rejected []Rejection
	o := Options{Spec: spec, Dir: dir, Tenant: "acme", Sender: d, Note: t.Logf, Reject: func(r Rejection) { rejected = append(rejected, r) }}
	if change != nil {
		change(&o)
	}
	res, err := Run(context.Background(), o)
	if err != nil {
		return Result{}, nil, nil, err
	}
	c := res[0].Counts
	if sum := c.Admitted + c.Duplicate + c.Conflict + c.Refused + c.LeftOut + c.Unjudged; sum != c.Rows {
		t.Errorf("%+v does not add up", c)
	}
	return res[0], rejected, d.events, nil
}

func TestRead_TakesTheShapesThatExportsHave(t *testing.T) {
	wide := func(order unicode.Endianness, mark unicode.BOMPolicy, s string) string {
		out, err := unicode.UTF16(order, mark).NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const jorgen = "id,email,name\r\nu1,a@x.example,Jürgen\r\n"
	for name, c := range map[string]struct{ options, text, want string }{
		"semicolon":          {"      delimiter: ';'", "id;email;name\ns1;a@x.example;A,B\n", "A,B"},
		"tab":                {`      delimiter: "\t"`, "id\temail\tname\nt1\ta@x.example\tA\n", "A"},
		"tab by name":        {"      delimiter: tab", "id\temail\tname\nt1\ta@x.example\tA\n", "A"},
		"bar":                {"      delimiter: '|'", "id|email|name\nt1|a@x.example|A\n", "A"},
		"sep line":           {"", "sep=;\r\nid;email;name\r\nt1;a@x.example;A\r\n", "A"},
		"UTF-8 mark":         {"", "\xef\xbb\xbf\"id\",email,name\nb1,a@x.example,A\n", "A"},
		"UTF-16LE by mark":   {"", wide(unicode.LittleEndian, unicode.UseBOM, jorgen), "Jürgen"},
		"UTF-16BE by mark":   {"      encoding: utf-16", wide(unicode.BigEndian, unicode.UseBOM, jorgen), "Jürgen"},
		"UTF-16LE by option": {"      encoding: utf-16le", wide(unicode.LittleEndian, unicode.IgnoreBOM, jorgen), "Jürgen"},
		"Windows-1252":       {"      encoding: windows-1252", "id,email,name\nw1,a@x.example,J\xfcrgen \x80\n", "Jürgen €"},
		"CR only":            {"", "id,email,name\rm1,a@x.example,A\r", "A"},
		"lines in a field":   {"", "id,email,name\r\nm1,a@x.example,\"A\r\n\"\"B\"\"\"\r\n\r\n", "A\n\"B\""},
		"unnamed columns":    {"", "id,email,name,,,\ne1,a@x.example,A,,,\n", "A"},
		"doubled column":     {"", "id,email,name,Phone,Phone\ne1,a@x.example,A,1,2\n", "A"},
		"no quoting at all":  {"      quote: none", "id,email,name\ni1,a@x.example,\"5\" pipe\n", `"5" pipe`},
		"no last line end":   {"", "id,email,name\ni1,a@x.example,A", "A"},
	} {
		t.Run(name, func(t *testing.T) {
			res, rejected, sent, err := importFile(t, c.options, "f.csv", c.text, nil)
			if err != nil || res.Admitted != 1 || len(sent) != 1 || sent[0].Data["last_name"] != c.want {
				t.Errorf("%+v %v %v %v", res.Counts, rejected, sent, err)
			}
		})
	}
}

func TestRead_NamesAFileThatItCanNotTake(t *testing.T) {
	for text, want := range map[string]string{
		"id;email;name\ns1;a;A\n":   `delimiter: ";"`,
		"id\temail\tname\n":         `delimiter: "\t"`,
		"Id, Email ,Name\nc1,a,A\n": `no column "email", which the spec names, did you mean " Email "?; it has no column "id", which the spec names, did you mean "Id"?`,
		"id,emial,name\n":           `did you mean "emial"?`,
		"id,email,name,email\n":     `the column "email" 2 times`,
		"":                          "is empty",
		"i\x00d\x00,\x00":           "encoding: utf-16le",
		"id,email,name,Stra\xdfe\n": "encoding: windows-1252",
		"id,email,\"name\nd1,a,A\n": "is never closed",
		strings.Repeat("x", 1<<20+5) + "\nid,email,name\n":   "longer than",
		"sep=;\nid,email,name\nx,y,z\n":                      `delimiter: ","`,
		"\n\n\n":                                             "is empty",
		"id,email,name\x00\n":                                "zero bytes",
		strings.Repeat("id,", 300) + "id,email,name\x00,x\n": "NUL",
	} {
		_, _, sent, err := importFile(t, "", "f.csv", text, nil)
		var r *event.Refusal
		if !errors.As(err, &r) || !strings.Contains(err.Error(), want) || len(sent) != 0 {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
	for options, text := range map[string]string{
		"      encoding: utf-8":        "\xff\xfei\x00d\x00",
		"      encoding: utf-16":       "id,email,name\n",
		"      encoding: utf-16be":     "\xff\xfei\x00d\x00",
		"      encoding: windows-1252": "\xef\xbb\xbfid,email,name\n",
		"      delimiter: ','":         "sep=;\nid;email;name\n",
	} {
		if _, _, _, err := importFile(t, options, "f.csv", text, nil); err == nil {
			t.Errorf("%s contradicts %q and is taken", options, text)
		}
	}
}

func TestRead_ABadRowCostsOneRow(t *testing.T) {
	good := func(id int) string { return fmt.Sprintf("g%d,a@x.example,N\n", id) }
	long := strings.Repeat("y", 1<<20)
	for name, c := range map[string]struct {
		text          string
		rows, refused int64
		reason        string
	}{
		"inch mark":               {good(1) + "i1,a@x.example,Pipe 5\" wide\n" + good(2), 3, 1, "quote: none"},
		"text after a quote":      {good(1) + "q,a@x.example,\"Robert 5\" pipe\n" + good(2), 3, 1, "followed by text"},
		"never closed":            {good(1) + "q,a@x.example,\"Robert\n" + good(2) + good(3), 4, 1, "never closed; reading goes on in line 4"},
		"closed by another":       {good(1) + "q,a@x.example,\"Robert\n" + good(2) + "r,a@x.example,\"Bob\"\n" + good(3), 5, 1, "reading goes on in line 4"},
		"swallows, wrong count":   {good(1) + "q,a@x.example,\"Robert\n" + good(2) + "r,\",x,y,z\n" + good(3), 5, 2, "makes 6 fields"},
		"over-long":               {good(1) + "l,a@x.example," + long + "\n" + good(2), 3, 1, "longer than"},
		"over-long, quoted":       {good(1) + "l,a@x.example,\"" + long[:600_000] + "\n" + long[:600_000] + "\"\n" + good(2), 3, 1, "longer than"},
		"too few, too many":       {"a,b\n" + good(1) + "a,b,c,d\n" + good(2), 4, 2, "2 fields, the header has 3"},
		"not UTF-8":               {good(1) + "j\xe9,a@x.example,A\n" + good(2), 3, 1, `column "id" has bytes that are not UTF-8`},
		"blank rows are left out": {good(1) + ",,\n,,\n" + good(2), 4, 0, ""},
		"NUL":                     {strings.Repeat(good(1), 99) + "j,a@x.example,A\x00\n", 100, 1, "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			res, rejected, _, err := importFile(t, "", "f.csv", "id,email,name\n"+c.text, nil)
			if err != nil || res.Rows != c.rows || res.Refused != c.refused || int64(len(rejected)) != c.refused || res.Admitted+res.Duplicate+res.LeftOut != c.rows-c.refused {
				t.Fatalf("%+v %+v %v", res.Counts, rejected, err)
			}
			if c.refused > 0 && !strings.Contains(rejected[0].Reason, c.reason) {
				t.Errorf("%q, want %q", rejected[0].Reason, c.reason)
			}
		})
	}
}

func TestRead_NDJSONRefusesWhatWouldBecomeSomethingElse(t *testing.T) {
	line := func(id, rest string) string {
		return `{"id":"` + id + `","email":"a@x.example","name":"` + rest + "}\n"
	}
	text := line("J1", `ok"`) + line("J\xe92", `x"`) + line("J\xfc2", `x"`) + line("J4", `\ud83d"`) + line("J5", `x","email":"o@x.example"`) +
		line("J6", strings.Repeat("y", 1<<20)+`"`) + "[1]\n" + `{"id":"J8","emial":"a","name":"x"}` + "\n" + line("J9", `x"} {"a":1`) + "\n" + line("J10", `Jürgen \ud83d\ude00"`)
	res, rejected, sent, err := importFile(t, "      format: ndjson", "f.ndjson", text, nil)
	if err != nil || res.Rows != 10 || res.Admitted != 2 || res.Refused != 8 || sent[1].Data["last_name"] != "Jürgen 😀" {
		t.Fatalf("%+v %+v %v", res.Counts, rejected, err)
	}
	for i, want := range []string{"not UTF-8", "not UTF-8", "surrogate", "email", "longer than", "not a JSON object", `no "email", did you mean "emial"?`, "follows"} {
		if r := rejected[i]; !strings.Contains(r.Reason, want) || r.Line != i+2 || r.Row != int64(i+2) {
			t.Errorf("line %d: %q, want %q in line %d", r.Line, r.Reason, want, i+2)
		}
	}
	res, rejected, _, err = importFile(t, "      format: ndjson\n      encoding: windows-1252", "f.ndjson", "\n"+line("J\xe92", `x"`)+line("J\x81", `x"`), nil)
	if err != nil || res.Admitted != 1 || res.Refused != 1 {
		t.Errorf("%+v %+v %v", res.Counts, rejected, err)
	}
	res, rejected, _, err = importFile(t, "      format: ndjson\n      encoding: utf-16le", "f.ndjson", "{\x00\"\x00\x00\xd8\"\x00:\x001\x00}\x00", nil)
	if err != nil || res.Refused != 1 || !strings.Contains(rejected[0].Reason, "surrogate") {
		t.Errorf("%+v %+v %v", res.Counts, rejected, err)
	}
}

func TestParse_TellsAbsentEmptyUnknownAndMisspeltApart(t *testing.T) {
	for change, want := range map[string]string{
		"zone: ''":                       "zone: is empty",
		"zone: null":                     "zone: is empty",
		"encoding: ''":                   "encoding: is empty",
		"encoding: utf16":                `did you mean "utf-16"?`,
		"encoding: ebcdic":               `"ebcdic" is not one of`,
		"delimeter: ';'":                 `did you mean "delimiter"?`,
		"delimiter: ''":                  "delimiter: is empty",
		"delimiter: ':'":                 "is not one of",
		"quote: single":                  `is not " or none`,
		"frmat: csv":                     `did you mean "format"?`,
		"bananas: 1":                     "is unknown; known here",
		"format: ndjson, delimiter: ','": "are of csv",
	} {
		spec := strings.Replace(specText, "- file: leads.csv\n      zone: America/Sao_Paulo", "- {file: leads.csv, "+change+", events: [{type: lead.created, id: row.id, data: {lead_id: row.id}}]}\n    - file: x.csv", 1)
		if _, err := Parse([]byte(spec)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
	for change, want := range map[string]string{"when: ''": "when: is empty", "tpye: x": `did you mean "type"?`, "update: tenant.created": "can't be the type"} {
		spec := strings.Replace(specText, "- when: row.owner != ''", "- "+change, 1)
		if _, err := Parse([]byte(spec)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
}
