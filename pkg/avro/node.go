package avro

// kind is an Avro type as it lies on the wire.
type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindFixed
	kindEnum
	kindArray
	kindRecord
	kindUnion
)

var kindNames = [...]string{
	"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum", "array", "record", "union",
}

func (k kind) String() string { return kindNames[k] }

// logical is the meaning laid over a kind.
type logical uint8

const (
	logicalNone logical = iota
	logicalDate
	logicalTimeMillis
	logicalTimeMicros
	logicalTimestampMillis
	logicalTimestampMicros
	logicalDecimal
	logicalUUID
)

// logicals are the logical types the engine serves, each with the kinds it may lie over. All others are refused:
// libraries disagree about them, and the ones that do not know a logical type ignore it in silence.
var logicals = map[string]struct {
	logical logical
	kinds   []kind
}{
	"date":             {logicalDate, []kind{kindInt}},
	"time-millis":      {logicalTimeMillis, []kind{kindInt}},
	"time-micros":      {logicalTimeMicros, []kind{kindLong}},
	"timestamp-millis": {logicalTimestampMillis, []kind{kindLong}},
	"timestamp-micros": {logicalTimestampMicros, []kind{kindLong}},
	"decimal":          {logicalDecimal, []kind{kindBytes, kindFixed}},
	"uuid":             {logicalUUID, []kind{kindString}},
}

func (l logical) String() string {
	for name, known := range logicals {
		if known.logical == l {
			return name
		}
	}
	return "none"
}

// node is one type of a schema. Nodes of named types are shared between their uses; there are no cycles.
type node struct {
	kind     kind
	logical  logical
	name     string // full name; record, enum, fixed
	fields   []*field
	items    *node
	branches []*node
	symbols  map[string]int // symbol to index
	ordered  []string       // symbols by index
	fallback string         // default symbol of an enum, "" for none
	size     int            // bytes of a fixed
	decimal  decimal
	weight   int  // fields in all, each use of a named type counted again
	doc      bool // has a doc
}

type field struct {
	name       string
	node       *node
	optional   bool // has a default
	fallback   any  // the default as goavro takes it
	pii        string
	piiSubject string
	doc        bool
	maxBytes   int // of a text, when it is new; 0 for none
}

// nullable returns the other branch of a union of null and one more, and the index of null.
func (n *node) nullable() (inner *node, nullAt int, ok bool) {
	if n.kind != kindUnion || len(n.branches) != 2 {
		return nil, 0, false
	}
	for i, branch := range n.branches {
		if branch.kind == kindNull {
			return n.branches[1-i], i, n.branches[1-i].kind != kindNull
		}
	}
	return nil, 0, false
}

// branchName is what goavro calls the branch of a union.
func (n *node) branchName() string {
	if n.name != "" {
		return n.name
	}
	return n.kind.String()
}

// look is how a value looks in JSON, as a set of bits. Two branches of a union must not look the same: else JSON
// data would not say which one is meant, and rendering and encoding would not be each other's reverse.
type look uint8

const (
	looksNull look = 1 << iota
	looksBoolean
	looksNumber
	looksString
	looksArray
	looksObject
)

func (n *node) look() look {
	switch n.kind {
	case kindNull:
		return looksNull
	case kindBoolean:
		return looksBoolean
	case kindInt, kindLong:
		if n.logical != logicalNone {
			return looksString
		}
		return looksNumber
	case kindFloat, kindDouble:
		return looksNumber
	case kindArray:
		return looksArray
	case kindRecord:
		return looksObject
	case kindUnion:
		var all look
		for _, branch := range n.branches {
			all |= branch.look()
		}
		return all
	default:
		if n.logical == logicalDecimal {
			return looksString | looksNumber
		}
		return looksString
	}
}
