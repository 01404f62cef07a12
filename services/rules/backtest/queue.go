package backtest

import "github.com/neuronx/engine/pkg/event"

// item is an event of a timeline that is on its way to its own log.
type item struct {
	at    int64 // ms since 1970
	n     int64 // in the order in which they were made
	event event.Event
	root  *root
}

// queue is a heap by (at, n).
type queue []item

func (h queue) Len() int { return len(h) }
func (h queue) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].n < h[j].n
}
func (h queue) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *queue) Push(x any)   { *h = append(*h, x.(item)) }
func (h *queue) Pop() any {
	x := pop((*[]item)(h))
	(*h)[:len(*h)+1][len(*h)] = item{} // what it held may go
	return x
}
