package crmoracle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Slice makes the files of openapi/ from a checkout of the vendor's repository: of each file that operations.yaml names, what describes
// the requests of the operations that it names, in the form that a strict reader of OpenAPI 3.0 takes. No path, name, type or enum is
// touched, but for what mend says.
func Slice(checkout, into string) error {
	var ops Operations
	if err := readYAML("operations.yaml", &ops); err != nil {
		return err
	}
	wanted := map[string][]string{}
	for _, list := range []map[string][]string{ops.Called, ops.Served} {
		for file, names := range list {
			wanted[file] = append(wanted[file], names...)
		}
	}
	for file, names := range wanted {
		b, err := os.ReadFile(filepath.Join(checkout, "apps", filepath.FromSlash(file)))
		if err != nil {
			return fmt.Errorf("read the vendor's file: %w", err)
		}
		out, err := slice(b, names)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(filepath.Join(into, filepath.Base(file)), out, 0o600); err != nil {
			return fmt.Errorf("write the slice: %w", err)
		}
	}
	return nil
}

type object = map[string]any

func slice(b []byte, names []string) ([]byte, error) {
	var doc object
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	paths, _ := doc["paths"].(object)
	components, _ := doc["components"].(object)
	schemas, _ := components["schemas"].(object)
	info, _ := doc["info"].(object)
	kept, needed := object{}, object{}
	for _, n := range names {
		part := strings.Fields(n)
		if len(part) != 3 {
			return nil, fmt.Errorf("%q is not METHOD path Version", n)
		}
		item, _ := paths[part[1]].(object)
		op, _ := item[strings.ToLower(part[0])].(object)
		if op == nil {
			return nil, fmt.Errorf("the vendor has no %s", n)
		}
		small := object{"responses": object{"default": object{"description": "not looked at"}}}
		for _, k := range []string{"parameters", "requestBody"} {
			if op[k] != nil {
				small[k] = mend(op[k], false)
			}
		}
		small["parameters"] = withPathParameters(small["parameters"], part[1])
		if err := collect(small, schemas, needed); err != nil {
			return nil, err
		}
		if kept[part[1]] == nil {
			kept[part[1]] = object{}
		}
		kept[part[1]].(object)[strings.ToLower(part[0])] = small
	}
	out := object{"openapi": doc["openapi"], "info": object{"title": info["title"], "version": info["version"]}, "paths": kept,
		"components": object{"schemas": needed}}
	text, err := json.MarshalIndent(out, "", " ")
	return append(text, '\n'), err
}

// collect adds the schemas that v refers to, and those that these refer to.
func collect(v any, schemas, needed object) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := collect(e, schemas, needed); err != nil {
				return err
			}
		}
	case object:
		if ref, is := v["$ref"].(string); is {
			name, local := strings.CutPrefix(ref, "#/components/schemas/")
			if !local || schemas[name] == nil {
				return fmt.Errorf("the reference %s leads out of the file", ref)
			}
			if needed[name] == nil {
				needed[name] = mend(schemas[name], false)
				if err := collect(needed[name], schemas, needed); err != nil {
					return err
				}
			}
		}
		for _, e := range v {
			if err := collect(e, schemas, needed); err != nil {
				return err
			}
		}
	}
	return nil
}

// documentation is what of a schema or parameter says nothing about requests.
var documentation = []string{"description", "example", "examples", "title", "deprecated", "default", "summary"}

// mend copies v without documentation, and with the vendor's slips put right: a type "any"; a type "object" whose example is a number
// or a text; an array without items; a choice (oneOf, anyOf) next to a parameter's schema instead of in it. names says that v maps names
// to schemas, where a name may be "description".
func mend(v any, names bool) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = mend(e, false)
		}
		return out
	case object:
		out := object{}
		for k, e := range v {
			if !names && slices.Contains(documentation, k) {
				continue
			}
			out[k] = mend(e, k == "properties" && !names)
		}
		if names {
			return out
		}
		if out["type"] == "any" || out["type"] == "object" && out["properties"] == nil && scalarExample(v) {
			delete(out, "type")
		}
		if out["type"] == "array" && out["items"] == nil {
			out["items"] = object{}
		}
		if out["in"] != nil && out["name"] != nil {
			for _, choice := range []string{"oneOf", "anyOf"} {
				if out[choice] != nil {
					out["schema"] = object{choice: out[choice]}
					delete(out, choice)
				}
			}
		}
		return out
	}
	return v
}

func scalarExample(v object) bool {
	for _, k := range []string{"example", "default"} {
		if e, is := v[k]; is {
			_, isObject := e.(object)
			return !isObject
		}
	}
	return false
}

// withPathParameters adds the parameters of a path that the vendor forgot to declare.
func withPathParameters(list any, path string) any {
	have, _ := list.([]any)
	for _, segment := range strings.Split(path, "/") {
		if !strings.HasPrefix(segment, "{") {
			continue
		}
		name := strings.Trim(segment, "{}")
		declared := slices.ContainsFunc(have, func(p any) bool {
			o, _ := p.(object)
			return o["in"] == "path" && o["name"] == name
		})
		if !declared {
			have = append(have, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	return have
}
