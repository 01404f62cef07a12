package avro

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckCompatible_IsFull(t *testing.T) {
	base := `{"type":"record","name":"R","namespace":"t","event_type":"t.made","fields":[{"name":"a","type":"string"}FIELD]}`
	with := func(fields string) string { return strings.Replace(base, "FIELD", fields, 1) }
	field := func(typ string) string { return with(`,{"name":"x","type":` + typ + `}`) }
	optional := func(typ string) string { return with(`,{"name":"x","type":["null",` + typ + `],"default":null}`) }
	micros, millis := `{"type":"long","logicalType":"timestamp-micros"}`, `{"type":"long","logicalType":"timestamp-millis"}`
	enum := func(symbols, fallback string) string {
		return field(`{"type":"enum","name":"E","symbols":[` + symbols + `]` + fallback + `}`)
	}
	decimal := func(precision, scale string) string {
		return field(`{"type":"bytes","logicalType":"decimal","precision":` + precision + `,"scale":` + scale + `}`)
	}
	for name, c := range map[string]struct {
		a, b string
		ok   bool
	}{
		"same":                           {with(""), with(""), true},
		"only docs differ":               {with(""), strings.Replace(with(""), `"name":"a"`, `"name":"a","doc":"A."`, 1), true},
		"optional field":                 {with(""), optional(`"string"`), true},
		"field with a default":           {with(""), with(`,{"name":"x","type":"int","default":0}`), true},
		"field without a default":        {with(""), field(`"int"`), false},
		"renamed field":                  {field(`"int"`), with(`,{"name":"y","type":"int"}`), false},
		"renamed with an alias, one way": {field(`"int"`), with(`,{"name":"y","type":"int","aliases":["x"]}`), false},
		"other type":                     {field(`"string"`), field(`"int"`), false},
		"int to long":                    {field(`"int"`), field(`"long"`), false},
		"float to double":                {field(`"float"`), field(`"double"`), false},
		"made optional":                  {field(`"string"`), field(`["null","string"]`), false},
		"branch added":                   {field(`["null","string"]`), field(`["null","string","int"]`), false},
		"array of another":               {field(`{"type":"array","items":"int"}`), field(`{"type":"array","items":"string"}`), false},
		"fixed of another size":          {field(`{"type":"fixed","name":"F","size":2}`), field(`{"type":"fixed","name":"F","size":3}`), false},
		"symbol added, no default":       {enum(`"A"`, ""), enum(`"A","B"`, ""), false},
		"symbol added, default":          {enum(`"A"`, `,"default":"A"`), enum(`"A","B"`, `,"default":"A"`), true},
		"micros to millis":               {field(micros), field(millis), false},
		"micros to plain long":           {field(micros), field(`"long"`), false},
		"optional micros to long":        {optional(micros), optional(`"long"`), false},
		"micros in arrays":               {field(`{"type":"array","items":` + micros + `}`), field(`{"type":"array","items":"long"}`), false},
		"uuid to string":                 {field(`{"type":"string","logicalType":"uuid"}`), field(`"string"`), false},
		"other scale":                    {decimal("18", "4"), decimal("18", "2"), false},
		"other precision":                {decimal("18", "4"), decimal("19", "4"), false},
		"same decimal":                   {decimal("18", "4"), decimal("18", "4"), true},
		"other record":                   {with(""), strings.Replace(with(""), `"R"`, `"S"`, 1), false},
		"other namespace":                {with(""), strings.Replace(with(""), `"t"`, `"u"`, 1), false},
		"other event type":               {with(""), strings.Replace(with(""), "t.made", "t.done", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := mustParse(t, c.a), mustParse(t, c.b)
			for _, pair := range [][2]*Schema{{a, b}, {b, a}} {
				err := CheckCompatible(pair[0], pair[1])
				if (err == nil) != c.ok {
					t.Errorf("got %v", err)
				}
				if _, ok := errors.AsType[*IncompatibleError](err); err != nil && !ok {
					t.Errorf("%T is not an IncompatibleError", err)
				}
			}
		})
	}
}

const linted = `{"type":"record","name":"LeadNoteAdded","namespace":"neuronx.lead.v2","event_type":"lead.note_added","doc":"D.","fields":[
	{"name":"lead_id","type":"string","doc":"D."},
	{"name":"note","type":["null","string"],"default":null,"doc":"D.","pii":"text","pii_subject":"lead_id"},
	{"name":"color","type":{"type":"enum","name":"Color","symbols":["A"],"default":"A","doc":"D."},"doc":"D."},
	{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","doc":"D.","fields":[{"name":"x","type":"string","doc":"D.","pii":"name"}]}},"doc":"D."},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"D."}]}`

const lintedPath = "schemas/lead/note_added.v2.avsc"

func TestLint_AcceptsWhatKeepsTheRules(t *testing.T) {
	for _, path := range []string{lintedPath, "/src/engine/" + lintedPath} {
		if problems := Lint(path, []byte(linted)); problems != nil {
			t.Errorf("%s: %v", path, problems)
		}
	}
}

func TestLint_NamesTheRuleThatIsBroken(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"not parsed":              {`"string"`, `"strin"`, "not a known type"},
		"event type":              {"lead.note_added", "lead.note", "event_type is"},
		"no event type":           {`"event_type":"lead.note_added",`, ``, "event_type is"},
		"record name":             {"LeadNoteAdded", "NoteAdded", "the record is"},
		"major":                   {"neuronx.lead.v2", "neuronx.lead.v1", "the record is"},
		"namespace":               {"neuronx.lead.v2", "lead.v2", "the record is"},
		"no doc":                  {`"event_type":"lead.note_added","doc":"D."`, `"event_type":"lead.note_added"`, "the record has no doc"},
		"field without doc":       {`"name":"lead_id","type":"string","doc":"D."`, `"name":"lead_id","type":"string"`, "field lead_id: has no doc"},
		"inner field without doc": {`"name":"x","type":"string","doc":"D."`, `"name":"x","type":"string"`, "field lines[].x: has no doc"},
		"inner record":            {`"name":"Line","doc":"D."`, `"name":"Line"`, "record neuronx.lead.v2.Line has no doc"},
		"enum without default":    {`"default":"A",`, ``, "no default symbol"},
		"enum without doc":        {`"default":"A","doc":"D."`, `"default":"A"`, "Color has no doc"},
		"no default null":         {`"default":null,`, ``, "is a union other than"},
		"null last":               {`["null","string"],"default":null`, `["string","null"],"default":"x"`, "is a union other than"},
		"three branches":          {`["null","string"]`, `["null","string","int"]`, "is a union other than"},
		"unknown pii":             {`"pii":"text"`, `"pii":"txt"`, `pii is "txt"`},
		"unknown subject":         {`"pii_subject":"lead_id"`, `"pii_subject":"lead"`, `pii_subject "lead"`},
		"subject is personal":     {`"pii_subject":"lead_id"`, `"pii_subject":"note"`, `pii_subject "note"`},
		"personal number":         {`["null","string"]`, `["null","int"]`, "must be a string"},
		"millis":                  {"timestamp-micros", "timestamp-millis", "moments are timestamp-micros"},
		"array of unions":         {`"items":{`, `"items":["null",{`, "array of unions"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(linted, c.old, c.new, 1)
			if name == "array of unions" {
				text = strings.Replace(text, `"pii":"name"}]}`, `"pii":"name"}]}]`, 1)
			}
			problems := Lint(lintedPath, []byte(text))
			if err := errors.Join(problems...); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), lintedPath) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for _, path := range []string{"note_added.v2.avsc", "schemas/lead/note_added.avsc", "schemas/Lead/note_added.v2.avsc", "schemas/lead/note_added.v02.avsc"} {
		if problems := Lint(path, []byte(linted)); len(problems) == 0 {
			t.Errorf("%s was accepted", path)
		}
	}
}
