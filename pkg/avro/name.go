package avro

import (
	"strconv"
	"strings"
)

func primitive(name string) (kind, bool) {
	for k := kindNull; k <= kindString; k++ {
		if kindNames[k] == name {
			return k, true
		}
	}
	return 0, false
}

// validName follows the Avro specification: [A-Za-z_][A-Za-z0-9_]*, ASCII only.
func validName(s string) bool {
	if s == "" || len(s) > maxNameLength {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func validFullName(s string) bool {
	if len(s) > maxNameLength {
		return false
	}
	for word := range strings.SplitSeq(s, ".") {
		if !validName(word) {
			return false
		}
	}
	return true
}

func validEventType(s string) bool {
	if len(s) > maxNameLength || !strings.Contains(s, ".") || s != strings.ToLower(s) {
		return false
	}
	for word := range strings.SplitSeq(s, ".") {
		if !validName(word) || word[0] == '_' {
			return false
		}
	}
	return true
}

func namespaceOf(full string) string {
	if dot := strings.LastIndexByte(full, '.'); dot >= 0 {
		return full[:dot]
	}
	return ""
}

// integer reads a JSON number that is written as an integer.
func integer(v any) (int64, bool) {
	literal, ok := v.(number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(string(literal), 10, 64)
	return i, err == nil
}
