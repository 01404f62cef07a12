package httpin

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// open connects and sends what is given.
func open(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprint(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ended reports whether the server closed the connection within a while.
func ended(conn net.Conn, within time.Duration) bool {
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, err := bufio.NewReader(conn).ReadByte()
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestConnections_ThoseWithoutARequestMakeRoomForANewOne(t *testing.T) {
	f := newFixture(t, nil)
	refused := make(chan struct{}, 100)
	c := newConnections(3, func() { refused <- struct{}{} })
	srv := &http.Server{Handler: f.Handler(), ConnState: c.watch, ReadHeaderTimeout: time.Minute}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })

	const half = "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Long: "
	held := []net.Conn{open(t, ln.Addr().String(), half), open(t, ln.Addr().String(), half), open(t, ln.Addr().String(), half)}
	fresh := open(t, ln.Addr().String(), half)
	<-refused
	if !ended(fresh, 10*time.Second) {
		t.Error("a fourth connection was taken at once, although nothing had waited for long")
	}
	c.mu.Lock()
	c.now = func() time.Time { return time.Now().Add(2 * patience) }
	c.mu.Unlock()
	good := open(t, ln.Addr().String(), "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(good), nil)
	if err != nil {
		t.Fatalf("%v: a connection with a request has no slot although three others have none", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if !ended(held[0], 10*time.Second) || ended(held[1], 50*time.Millisecond) {
		t.Error("the connection that waited longest was not the one to be closed")
	}
}

func TestConnections_CountsThoseThatAreOpenOnly(t *testing.T) {
	c := newConnections(1, func() {})
	for range 5 {
		a, b := net.Pipe()
		for _, state := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive, http.StateClosed} {
			if over := c.move(a, state); over != nil {
				t.Fatalf("%v: no slot, although no other connection is open", state)
			}
		}
		_, _ = a.Close(), b.Close()
	}
	if len(c.open) != 0 || c.waiting.Len() != 0 {
		t.Errorf("%d open, %d waiting", len(c.open), c.waiting.Len())
	}
}
