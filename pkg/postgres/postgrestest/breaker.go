package postgrestest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Broken is in the error of every statement that a Breaker breaks.
const Broken = "broken_on_purpose"

// maxMessage bounds a message of the protocol that a Breaker takes, in bytes.
const maxMessage = 64 << 20

// Breaker is a way to the server on which statements fail that the test chooses. The server refuses them itself, so a transaction, a
// prepared statement and the connection behave as they do after any error in SQL.
type Breaker struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	fails func(sql string) bool
	seen  []string
	hits  int
}

// NewBreaker opens a way to the server that a connection string names, and returns it with the connection string of the same role and
// database through it. It is closed when the test ends.
func NewBreaker(t testing.TB, to string) (breaker *Breaker, through string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatalf("parse the connection string: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open the breaker: %v", err)
	}
	b := &Breaker{listener: l, target: u.Host}
	u.Host = l.Addr().String()
	b.running.Go(b.accept)
	t.Cleanup(func() {
		_ = l.Close()
		b.mu.Lock()
		for _, c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.running.Wait()
	})
	return b, u.String()
}

// Break makes every statement fail from now on for which fails is true, with an error that names Broken; nil lets all pass. What was
// seen and broken before is forgotten.
func (b *Breaker) Break(fails func(sql string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails, b.seen, b.hits = fails, nil, 0
}

// Seen returns the statements since Break, in order, each once.
func (b *Breaker) Seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// Hits is how many statements were broken since Break.
func (b *Breaker) Hits() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hits
}

func (b *Breaker) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", b.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		b.mu.Lock()
		b.conns = append(b.conns, c, s)
		b.mu.Unlock()
		both := func(copy func()) func() {
			return func() {
				copy()
				_, _ = c.Close(), s.Close()
			}
		}
		b.running.Go(both(func() { _, _ = io.Copy(c, s) }))
		b.running.Go(both(func() { b.forward(c, s) }))
	}
}

// forward passes a client's messages on. The first ones have no type: a request for encryption, which is answered with no, and the start.
func (b *Breaker) forward(client io.Reader, server io.Writer) {
	prepared := map[string]string{} // statements by name
	for started := false; ; {
		typ := make([]byte, 1)
		if !started {
			typ = nil
		}
		if _, err := io.ReadFull(client, typ); err != nil {
			return
		}
		var length [4]byte
		if _, err := io.ReadFull(client, length[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(length[:])
		if n < 4 || n > maxMessage {
			return
		}
		body := make([]byte, n-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if !started {
			started = len(body) >= 2 && binary.BigEndian.Uint16(body) == 3 // of protocol 3
		} else {
			body = b.message(typ[0], body, prepared)
		}
		binary.BigEndian.PutUint32(length[:], uint32(len(body)+4)) //nolint:gosec // maxMessage bounds it
		if _, err := server.Write(slices.Concat(typ, length[:], body)); err != nil {
			return
		}
	}
}

// message returns a message's body as it is passed on. A statement runs by Query ('Q'), which has its text, or by Bind ('B'), which names
// what Parse ('P') prepared: there the text, or the name, is replaced by one that the server does not know.
func (b *Breaker) message(typ byte, body []byte, prepared map[string]string) []byte {
	first, rest, ok := bytes.Cut(body, []byte{0})
	if !ok {
		return body
	}
	switch typ {
	case 'Q':
		if b.breaks(string(first)) {
			return append([]byte(Broken), 0)
		}
	case 'P':
		sql, _, _ := bytes.Cut(rest, []byte{0})
		prepared[string(first)] = string(sql)
	case 'B':
		name, values, _ := bytes.Cut(rest, []byte{0})
		if b.breaks(prepared[string(name)]) {
			return slices.Concat(first, []byte("\x00"+Broken+"\x00"), values)
		}
	}
	return body
}

// breaks notes a statement, and tells whether it is to fail.
func (b *Breaker) breaks(sql string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.seen, sql) {
		b.seen = append(b.seen, sql)
	}
	if b.fails == nil || !b.fails(sql) {
		return false
	}
	b.hits++
	return true
}

// maxStatements is how many statements Each takes a function to run at most.
const maxStatements = 500

// Each runs fn with its first statement broken, then with its second, and so on, until it has got by without a broken one, and fails the
// test unless fn returns the error of each. What fn does must be undone when it fails, so that it can be done again. Rollbacks are not broken.
// It returns how many statements were.
func (b *Breaker) Each(t testing.TB, what string, fn func() error) (broken int) {
	t.Helper()
	defer b.Break(nil)
	for ; broken < maxStatements; broken++ {
		nth, hit := 0, ""
		b.Break(func(sql string) bool {
			if strings.EqualFold(sql, "rollback") {
				return false
			}
			nth++
			if nth == broken+1 {
				hit = sql
			}
			return nth == broken+1
		})
		err := fn()
		switch {
		case b.Hits() == 0 && err != nil:
			t.Errorf("%s: %v", what, err)
			return broken
		case b.Hits() == 0:
			return broken
		case err == nil || !strings.Contains(err.Error(), Broken):
			t.Errorf("%s returned %v although this failed: %s", what, err, hit)
		}
	}
	t.Errorf("%s runs more than %d statements", what, maxStatements)
	return broken
}
