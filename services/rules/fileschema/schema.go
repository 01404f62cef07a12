package fileschema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// node is a part of a schema.
type node map[string]any

// Files are the schemas by the name of their file.
func Files() (map[string][]byte, error) {
	out := map[string][]byte{}
	for kind, spec := range map[string]node{"Rule": rule(), "Workflow": workflow(), "ContactPolicy": policy(), "Lookup": lookup(), "Calendar": calendarFile()} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(file(kind, spec)); err != nil {
			return nil, fmt.Errorf("write the schema of %s: %w", kind, err)
		}
		out[strings.ToLower(kind)+".schema.json"] = b.Bytes()
	}
	return out, nil
}

// file is the schema of a whole file.
func file(kind string, spec node) node {
	defs, _ := spec["$defs"].(node)
	delete(spec, "$defs")
	n := object("A file of kind "+kind+".", 4,
		key{"apiVersion", constant("neuronx/v1", "")},
		key{"kind", constant(kind, "")},
		key{"metadata", object("What the file is.", 1, key{"name", name("The identity: a to z, 0 to 9 and single hyphens, at most 63.")})},
		key{"spec", spec},
	)
	n["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	n["title"] = "neuronx/v1 " + kind
	if defs != nil {
		n["$defs"] = defs
	}
	return n
}

// key is one key of an object.
type key struct {
	name  string
	value node
}

// object has the keys that it names and no others, of which the first needed ones must be there.
func object(description string, needed int, keys ...key) node {
	properties, required := node{}, []string{}
	for i, k := range keys {
		properties[k.name] = k.value
		if i < needed {
			required = append(required, k.name)
		}
	}
	n := node{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		slices.Sort(required)
		n["required"] = required
	}
	return described(n, description)
}

func described(n node, description string) node {
	if description != "" {
		n["description"] = description
	}
	return n
}

// named is a map from names to values of one kind.
func named(description, pattern string, most int, value node) node {
	return described(node{"type": "object", "minProperties": 1, "maxProperties": most, "additionalProperties": false, "patternProperties": node{pattern: value}}, description)
}

func list(description string, most int, items node) node {
	return described(node{"type": "array", "minItems": 1, "maxItems": most, "items": items}, description)
}

func text(description string) node { return described(node{"type": "string"}, description) }

func constant(value, description string) node {
	return described(node{"const": value}, description)
}

func oneOf(description string, words ...string) node {
	return described(node{"enum": words}, description)
}

func whole(description string, least, most int) node {
	return described(node{"type": "integer", "minimum": least, "maximum": most}, description)
}

func ref(def, description string) node {
	return described(node{"$ref": "#/$defs/" + def}, description)
}

const (
	namePattern = "^[a-z0-9](-?[a-z0-9])*$"
	keyPattern  = "^[a-z][a-z0-9_]{0,62}$"
	typePattern = `^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`
)

func name(description string) node {
	return described(node{"type": "string", "pattern": namePattern, "maxLength": 63}, description)
}

func variable(description string) node {
	return described(node{"type": "string", "pattern": keyPattern}, description)
}

func eventType(description string) node {
	return described(node{"type": "string", "pattern": typePattern}, description)
}

func duration(description string) node {
	return described(node{"type": "string", "pattern": `^P[0-9YMWDTHS.]+$`}, strings.TrimSpace(description+" ISO 8601, such as PT15M, P7D or P1M."))
}

// expression is a CEL expression; YAML may take one such as 7 or true for a value of its own.
func expression(description string) node {
	return described(node{"type": []string{"string", "number", "boolean", "null"}}, description)
}

func rule() node {
	emit := object("An event to derive.", 2,
		key{"type", eventType("Type of the event.")},
		key{"data", named("One expression a field of the type's schema.", keyPattern, 200, expression(""))},
		key{"subject", expression("The subject; without it, that of the cause.")},
	)
	window := object("Counts events about the subject.", 2,
		key{"on", list("Types of events that count, of the origin live.", 32, eventType(""))},
		key{"over", duration("How far back it counts, PT1M to P400D; no months.")},
		key{"when", expression("Which of them count, over event and data; without it, all.")},
		key{"distinct", expression("Whose different values are counted, over event and data, at most 256.")},
	)
	n := object("What the rule hears and does.", 1,
		key{"on", list("Types of events that it hears; never engine.*.", 32, eventType(""))},
		key{"origins", origins("live alone if it is left out.")},
		key{"when", expression("True or false, over event, data, state and windows; without it, always.")},
		key{"key", expression("What assign gives a member, a text; without it, the event's subject.")},
		key{"assign", object("Picks a member of a pool, whom emit and set see in vars.", 2,
			key{"pool", name("The name of a Lookup that is a pool.")},
			key{"as", variable("The variable that takes the member.")},
			key{"except", expression("A list of members that are not picked.")},
			key{"or", expression("The member when nobody is eligible; without it, the rule fails with no_capacity.")})},
		key{"windows", named("What is counted about the event's subject, read as windows.calls.count, .distinct and .rate, which is an hour.", keyPattern, 4, window)},
		key{"emit", list("Events to derive.", 16, emit)},
		key{"set", named("State of the event's subject to keep; null takes a key away.", keyPattern, 32, expression(""))},
	)
	n["anyOf"] = []node{{"required": []string{"emit"}}, {"required": []string{"set"}}}
	return n
}

func origins(description string) node {
	n := list(description, 5, oneOf("", "live", "import", "backfill", "redrive"))
	return n
}
