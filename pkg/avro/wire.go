package avro

import (
	"fmt"
	"strings"
)

// wireSchema writes the schema as it lies on the wire: kinds and full names, without logical types, defaults and
// properties. The codecs get this text, because each has its own mind about logical types and defaults: goavro
// truncates decimals, can not encode a zero decimal of type fixed, and refuses two decimals in one schema.
func wireSchema(root *node) string {
	var b strings.Builder
	writeWire(&b, root, map[string]bool{})
	return b.String()
}

func writeWire(b *strings.Builder, n *node, defined map[string]bool) {
	if n.name != "" {
		if defined[n.name] {
			fmt.Fprintf(b, "%q", n.name)
			return
		}
		defined[n.name] = true
	}
	switch n.kind {
	case kindRecord:
		fmt.Fprintf(b, `{"type":"record","name":%q,"fields":[`, n.name)
		for i, f := range n.fields {
			separate(b, i)
			fmt.Fprintf(b, `{"name":%q,"type":`, f.name)
			writeWire(b, f.node, defined)
			b.WriteByte('}')
		}
		b.WriteString("]}")
	case kindEnum:
		fmt.Fprintf(b, `{"type":"enum","name":%q,"symbols":[`, n.name)
		for i, symbol := range n.ordered {
			separate(b, i)
			fmt.Fprintf(b, "%q", symbol)
		}
		b.WriteString("]}")
	case kindFixed:
		fmt.Fprintf(b, `{"type":"fixed","name":%q,"size":%d}`, n.name, n.size)
	case kindArray:
		b.WriteString(`{"type":"array","items":`)
		writeWire(b, n.items, defined)
		b.WriteByte('}')
	case kindUnion:
		b.WriteByte('[')
		for i, branch := range n.branches {
			separate(b, i)
			writeWire(b, branch, defined)
		}
		b.WriteByte(']')
	default:
		fmt.Fprintf(b, "%q", n.kind.String())
	}
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}
