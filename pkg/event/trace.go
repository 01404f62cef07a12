package event

import "strings"

// ValidTraceParent reports whether v is a traceparent that can be carried on (W3C Trace Context 1, 3.2).
func ValidTraceParent(v string) bool {
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return false
	}
	version, traceID, parentID, flags := v[:2], v[3:35], v[36:52], v[53:55]
	for _, s := range [...]string{version, traceID, parentID, flags} {
		for i := range len(s) {
			if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	if version == "ff" || (version == "00" && len(v) != 55) || len(v) > maxTrace || (len(v) > 55 && v[55] != '-') || !visible(v) {
		return false
	}
	return strings.Trim(traceID, "0") != "" && strings.Trim(parentID, "0") != ""
}

// UsableTraceState is a tracestate, or nothing where it is over 512 bytes or not printable: it is left out then, and the trace goes on
// (W3C Trace Context 1, 3.3.1.5).
func UsableTraceState(v string) string {
	if len(v) > maxTrace || !visible(v) {
		return ""
	}
	return v
}
