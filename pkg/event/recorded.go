package event

import (
	"strconv"
	"time"
)

// ParseRecorded reads a record of the log. Partition and Offset are left to the caller. A record without the sequencer's attributes
// is a *Refusal: somebody wrote to the log who may not.
func ParseRecorded(key []byte, headers []Header, value []byte) (Recorded, error) {
	e, err := ParseExact(key, headers, value)
	r := Recorded{Event: e}
	if err != nil {
		return r, err
	}
	r.wide = false // it was admitted: its characters are not checked again
	if len(e.malformed) > 0 {
		return r, Refuse(CodeInvalidAttribute, "a system attribute can't be read").At("header " + e.malformed[0])
	}
	for _, h := range headers {
		v := string(h.Value)
		var err error
		switch h.Key {
		case hSequence:
			r.Sequence, err = strconv.ParseInt(v, 10, 64)
		case hPosition:
			r.Position, err = strconv.ParseInt(v, 10, 64)
		case hRecordedTime:
			r.RecordedTime, err = time.Parse(time.RFC3339Nano, v)
		case hLogID:
			r.LogID = v
		case hQuiet:
			if ferr := checkText(v, maxType); ferr != nil {
				return r, ferr.At("header " + h.Key)
			}
			r.Quiet = v
		}
		if err != nil {
			return r, Refuse(CodeInvalidAttribute, "not readable").At("header " + h.Key)
		}
	}
	if r.Sequence < 1 || r.Position < 1 || r.LogID == "" || r.RecordedTime.IsZero() || r.ID == "" || r.Type == "" {
		return r, Refuse(CodeMissingAttribute, "a record of the log lacks the sequencer's attributes").Hint("only the sequencer writes neuronx.events; produce to neuronx.ingress")
	}
	return r, nil
}
