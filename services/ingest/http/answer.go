package httpin

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// writeAnswers answers a batch with what writeJSON would write. Most items say no more than that they were accepted, and are
// written without reflection.
func writeAnswers(w http.ResponseWriter, status int, answers []itemAnswer) {
	body := make([]byte, 0, 2+80*len(answers))
	body = append(body, '[')
	for i := range answers {
		if i > 0 {
			body = append(body, ',')
		}
		var err error
		if body, err = answers[i].append(body); err != nil {
			writeJSON(w, status, answers) // which says what happens then
			return
		}
	}
	writeBody(w, status, append(body, ']'))
}

func (a *itemAnswer) append(dst []byte) ([]byte, error) {
	if a.Sequence != "" || a.Position != "" || a.Of != "" || a.Problem != nil || a.ID == "" || !unescaped(a.ID) || !unescaped(a.Status) {
		text, err := json.Marshal(a)
		return append(dst, text...), err
	}
	dst = strconv.AppendInt(append(dst, `{"index":`...), int64(a.Index), 10)
	dst = append(append(dst, `,"id":"`...), a.ID...)
	dst = append(append(dst, `","status":"`...), a.Status...)
	return append(dst, `"}`...), nil
}

// unescaped tells that encoding/json writes a string as it is.
func unescaped(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c > 0x7e, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
