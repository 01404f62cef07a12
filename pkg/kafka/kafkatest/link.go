package kafkatest

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is the kind of a request.
type Request kmsg.Key

// Requests that faults are about.
const (
	ReqProduce      = Request(kmsg.Produce)
	ReqFetch        = Request(kmsg.Fetch)
	ReqListOffsets  = Request(kmsg.ListOffsets)
	ReqOffsetFetch  = Request(kmsg.OffsetFetch)
	ReqJoinGroup    = Request(kmsg.JoinGroup)
	ReqSyncGroup    = Request(kmsg.SyncGroup)
	ReqInitProducer = Request(kmsg.InitProducerID)
	ReqTxnOffsets   = Request(kmsg.TxnOffsetCommit)
	ReqEndTxn       = Request(kmsg.EndTxn)
	ReqCreateTopics = Request(kmsg.CreateTopics)
)

// String is the request's name.
func (r Request) String() string { return kmsg.NameForKey(int16(r)) }

// Trouble is what happens to one request. The zero value is none.
type Trouble struct {
	CutBefore bool          // the connection is cut, and the broker never gets the request
	CutAfter  bool          // the broker answers, and the connection is cut before the client has read the answer
	Delay     time.Duration // of the answer
	Do        func()        // called before the request is sent on
}

var (
	errCut  = errors.New("kafkatest: connection cut")
	errDead = errors.New("kafkatest: the process at this end of the link is dead")
)

// Link is one process's way to the brokers.
type Link struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	decide func(Request) Trouble // may be nil

	mu      sync.Mutex
	conns   map[*conn]struct{}
	dead    bool
	blocked map[string]bool
	stalled chan struct{} // closed at Resume; nil: not stalled
}

// NewLink is a link over TCP. decide is asked for every request what happens to it.
func NewLink(decide func(Request) Trouble) *Link {
	return &Link{dial: (&net.Dialer{}).DialContext, decide: decide, conns: map[*conn]struct{}{}}
}

// Dial is a kafka.Config's Dialer.
func (l *Link) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := l.usable(addr); err != nil {
		return nil, err
	}
	c, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	out := &conn{Conn: c, l: l, addr: addr, closed: make(chan struct{})}
	l.mu.Lock()
	l.conns[out] = struct{}{}
	l.mu.Unlock()
	if err := l.usable(addr); err != nil { // it died meanwhile
		_ = out.Close()
		return nil, err
	}
	return out, nil
}

func (l *Link) usable(addr string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.dead:
		return errDead
	case l.blocked[addr]:
		return errCut
	}
	return nil
}

// Block makes a broker unreachable from now on, as it is for a client whose connections to a frozen machine have timed out.
func (l *Link) Block(addr string) {
	l.mu.Lock()
	if l.blocked == nil {
		l.blocked = map[string]bool{}
	}
	l.blocked[addr] = true
	l.mu.Unlock()
	l.cut(func(c *conn) bool { return c.addr == addr })
}

// Unblock ends Block.
func (l *Link) Unblock(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.blocked, addr)
}

// Cut cuts every connection; new ones can be made.
func (l *Link) Cut() { l.cut(func(*conn) bool { return true }) }

// Kill cuts every connection and allows no new one: to the brokers it is a kill -9 of the process at this end.
func (l *Link) Kill() {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.Cut()
	l.Resume()
}

// Stall lets nothing through in either direction until Resume: to the brokers it is a stopped process.
func (l *Link) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled == nil && !l.dead {
		l.stalled = make(chan struct{})
	}
}

// Resume ends Stall; what was on its way arrives.
func (l *Link) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
}

// Wait returns when the link is not stalled.
func (l *Link) Wait() { l.wait(nil) }

func (l *Link) wait(closed chan struct{}) {
	for {
		l.mu.Lock()
		ch := l.stalled
		l.mu.Unlock()
		if ch == nil {
			return
		}
		select {
		case <-ch:
		case <-closed:
			return
		}
	}
}

func (l *Link) cut(which func(*conn) bool) {
	l.mu.Lock()
	var cs []*conn
	for c := range l.conns {
		if which(c) {
			cs = append(cs, c)
		}
	}
	l.mu.Unlock()
	for _, c := range cs {
		_ = c.Close()
	}
}

// conn is one connection of a link. The client writes a request in one piece.
type conn struct {
	net.Conn
	l      *Link
	addr   string
	once   sync.Once
	closed chan struct{}

	mu    sync.Mutex
	cut   bool          // at the next answer
	delay time.Duration // of the next answer
}

// Close implements net.Conn.
func (c *conn) Close() error {
	var err error
	c.once.Do(func() {
		close(c.closed)
		err = c.Conn.Close()
		c.l.mu.Lock()
		delete(c.l.conns, c)
		c.l.mu.Unlock()
	})
	return err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.l.wait(c.closed)
	if c.l.decide != nil && len(b) >= 8 {
		t := c.l.decide(Request(binary.BigEndian.Uint16(b[4:])))
		if t.Do != nil {
			t.Do()
		}
		if t.CutBefore {
			_ = c.Close()
			return 0, errCut
		}
		c.mu.Lock()
		c.cut, c.delay = c.cut || t.CutAfter, max(c.delay, t.Delay)
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.l.wait(c.closed)
	if err != nil {
		return n, err
	}
	c.mu.Lock()
	cut, delay := c.cut, c.delay
	c.delay = 0
	c.mu.Unlock()
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.closed:
		}
	}
	if cut {
		_ = c.Close()
		return 0, errCut
	}
	return n, nil
}
