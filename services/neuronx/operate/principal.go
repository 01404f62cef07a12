package operate

// Principal is who acts, as it is recorded for ever in the events that a verb publishes.
type Principal struct {
	Name   string // the person or process, recorded under "by"; empty: not given
	Source string // the edge that they came through, such as "cli": the events' ce_source is /neuronx/<Source>
}

// By is the field "by" of an event's data: the name, or nil where none was given.
func (p Principal) By() any { return OrNil(p.Name) }
