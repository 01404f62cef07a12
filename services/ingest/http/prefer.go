package httpin

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest wait for a verdict.
const maxWait = 30 * time.Second

// preferredWait reads the preference `wait` of RFC 7240, 4.3, in seconds, at most 30. A preference that can't be understood counts as
// not given (RFC 7240, 2), and of several the first counts.
func preferredWait(h http.Header) time.Duration {
	for _, line := range h.Values("Prefer") {
		for _, preference := range strings.Split(line, ",") {
			token, _, _ := strings.Cut(preference, ";")
			name, value, _ := strings.Cut(token, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value = strings.TrimSpace(value)
			if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			return seconds(value)
		}
	}
	return 0
}

func seconds(digits string) time.Duration {
	if digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > int64(maxWait/time.Second) {
		return maxWait
	}
	return time.Duration(n) * time.Second
}

// preferenceApplied says that the answer was waited for (RFC 7240, 3).
func preferenceApplied(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Preference-Applied", "wait="+strconv.FormatInt(int64(wait/time.Second), 10))
}
