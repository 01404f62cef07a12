package postgrestest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy is a way to the server that can be cut and held up.
type Proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	away    bool
	stalled chan struct{} // closed at Back; nil: not stalled
}

// NewProxy opens a proxy in front of the server that a connection string names, and returns it with the connection string of the
// same role and database through it. It is closed when the test ends.
func NewProxy(t testing.TB, to string) (proxy *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatalf("parse the connection string: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open the proxy: %v", err)
	}
	p := &Proxy{listener: l, target: u.Host, conns: map[net.Conn]struct{}{}}
	u.Host = l.Addr().String()
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Back()
		p.Away()
		p.running.Wait()
	})
	return p, u.String()
}

// Away cuts every connection and lets none through until Back.
func (p *Proxy) Away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// Stall takes connections and bytes and passes none on until Back, as a server does that is stopped.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Back ends Away and Stall.
func (p *Proxy) Back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		p.mu.Lock()
		if p.away {
			_, _ = c.Close(), s.Close()
			p.mu.Unlock()
			continue
		}
		p.conns[c], p.conns[s] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.running.Go(func() { p.pass(c, s) })
		p.running.Go(func() { p.pass(s, c) })
	}
}

// pass copies one direction until either end closes.
func (p *Proxy) pass(from, to net.Conn) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, _ = from.Close(), to.Close()
		delete(p.conns, from)
		delete(p.conns, to)
	}()
	_, _ = io.Copy(&gated{to, p}, from)
}

// gated holds writes back while the proxy is stalled.
type gated struct {
	io.Writer
	p *Proxy
}

func (g *gated) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	stalled := g.p.stalled
	g.p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	return g.Writer.Write(b)
}
