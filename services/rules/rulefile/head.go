package rulefile

import "go.yaml.in/yaml/v3"

// Kind is the kind that a file says it is of; empty: it says none.
func Kind(root *yaml.Node) string {
	if n := Value(root, "kind"); n != nil {
		return n.Value
	}
	return ""
}

// Value is the value of a key of a map; nil: it has none, or is no map.
func Value(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// Head reads what the files of all kinds begin with, but for the kind. spec is nil if the file has none.
func (r *Reader) Head(root *yaml.Node) (name string, spec *yaml.Node) {
	top := r.Entries(root, "the file", 4, "apiVersion", "kind", "metadata", "spec")
	if v, ok := r.Scalar(top["apiVersion"], "apiVersion"); ok && v != "neuronx/v1" {
		r.Problem(top["apiVersion"].Line, CodeWrongVersion, "apiVersion is %q; this engine reads neuronx/v1", v)
	}
	if m := top["metadata"]; m != nil {
		meta := r.Entries(m, "metadata", 1, "name")
		if v, ok := r.Scalar(meta["name"], "metadata.name"); ok {
			if !ValidName(v) {
				r.Problem(meta["name"].Line, CodeInvalidName, "the name %q is not 1 to 63 of a-z, 0-9 and single hyphens", Cut(v))
			}
			name, r.Rule = v, v
		}
	}
	return name, top["spec"]
}
