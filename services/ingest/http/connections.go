package httpin

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// connectionCost is what a connection may take before its request counts towards the budget for memory, in bytes: up to maxHeader of
// headers, before an API key was seen, and buffers.
const connectionCost = 32 << 10

// minConnections may be open whatever the budget is.
const minConnections = 1024

// patience is how long a connection may stay without a whole request when there is no room for others.
const patience = time.Second

// connections bounds the open connections, idle ones too: one that sends half of its headers takes memory before anybody knows whose it
// is. Over the bound, the connection that has waited longest without a request is closed if that is more than patience, else the
// new one. Its method watch is for http.Server.ConnState. It is safe for concurrent use.
type connections struct {
	most    int
	refused func() // called for each connection that was closed to make room
	now     func() time.Time

	mu      sync.Mutex
	open    map[net.Conn]*list.Element // nil: it has a request
	waiting list.List                  // of waitingConn, since when they have no request: the oldest first
}

type waitingConn struct {
	net.Conn
	since time.Time
}

func newConnections(most int, refused func()) *connections {
	return &connections{most: most, refused: refused, now: time.Now, open: map[net.Conn]*list.Element{}}
}

func (c *connections) watch(conn net.Conn, state http.ConnState) {
	if over := c.move(conn, state); over != nil {
		c.refused()
		_ = over.Close() // its reader ends with an error, and so does the connection
	}
}

// move notes the state of a connection and returns one to close, or nil.
func (c *connections) move(conn net.Conn, state http.ConnState) (over net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.open[conn]; at != nil {
		c.waiting.Remove(at)
	}
	switch state {
	case http.StateNew:
		if len(c.open) >= c.most {
			over = c.choose(conn)
		}
		c.open[conn] = c.waiting.PushBack(waitingConn{conn, c.now()})
	case http.StateIdle:
		c.open[conn] = c.waiting.PushBack(waitingConn{conn, c.now()})
	case http.StateActive:
		c.open[conn] = nil
	default: // closed or hijacked
		delete(c.open, conn)
	}
	return over
}

// choose picks the connection that is closed for a new one, or the new one itself. Its slot is free at once, although net/http tells
// later that it is closed.
func (c *connections) choose(fresh net.Conn) net.Conn {
	if first := c.waiting.Front(); first != nil {
		if w := first.Value.(waitingConn); c.now().Sub(w.since) > patience {
			c.waiting.Remove(first)
			delete(c.open, w.Conn)
			return w.Conn
		}
	}
	return fresh
}
