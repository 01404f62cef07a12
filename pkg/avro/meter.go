package avro

// What values of a tree take, in bytes, as measured with Go 1.26.
const (
	sizeObject = 330 // an empty map and its first group of members
	sizeMember = 60
	sizeItem   = 40
)

// meter asks for memory before values are made, in steps. The zero value grants everything.
type meter struct {
	grow func(n int) error
	owed int
}

// meterStep is how many bytes are asked for at once.
const meterStep = 32 << 10

// meterError is the error of a grow function that refused.
type meterError struct{ error }

func (e *meterError) Unwrap() error { return e.error }

func (m *meter) use(n int) error {
	if m.grow == nil {
		return nil
	}
	if m.owed += n; m.owed < meterStep {
		return nil
	}
	n, m.owed = m.owed, 0
	if err := m.grow(n); err != nil {
		return &meterError{err}
	}
	return nil
}
