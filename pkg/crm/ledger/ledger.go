package ledger

// Ledger is that of one adapter. Others have the same tables, rows of their own, and a database role that sees no others. Methods run in the
// caller's transaction.
type Ledger struct {
	Adapter string // its name, such as gohighlevel
}

// Group is the consumer group in which the adapter reads the log, and the name of its rows of progress.
func (l Ledger) Group() string { return "neuronx." + l.Adapter }
