package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// floodVerb makes this program the sender of a flood.
const floodVerb = "flood"

const floodConnections = 16

// toll is what came of a flood while it was counted.
type toll struct {
	Seconds float64
	Sent    float64 // requests that were answered, or records that were acknowledged
	Refused float64 // 429
	Dials   float64 // connections opened beyond the first ones: after an answer that closed one
}

// flood is a running sender.
type flood struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser
}

// startFlood starts a sender in a process of its own at the lowest priority: what it takes to make the flood is taken from what the
// measured processes leave over.
func startFlood(rate int, args ...string) (*flood, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Priorities are a thread's on Linux, so the process must begin with it.
	cmd := exec.Command("nice", append([]string{"-n", "19", self, floodVerb, strconv.Itoa(rate)}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	f := &flood{cmd: cmd}
	if f.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if f.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return f, cmd.Start()
}

// count makes what comes from now on count.
func (f *flood) count() error {
	_, err := io.WriteString(f.in, "count\n")
	return err
}

// end ends the flood and says what came of it.
func (f *flood) end() (t toll, err error) {
	err = errors.Join(f.in.Close(), json.NewDecoder(f.out).Decode(&t))
	return t, errors.Join(err, f.cmd.Wait())
}

// counters are what a sender counts.
type counters struct{ sent, refused, dials atomic.Int64 }

func (c *counters) now() toll {
	return toll{Sent: float64(c.sent.Load()), Refused: float64(c.refused.Load()), Dials: float64(c.dials.Load())}
}

// serveFlood sends until its standard input ends. What comes after the first line of that is counted.
func serveFlood(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: " + floodVerb + " RATE http ADDRESS KEY | RATE topic BROKER FILE")
	}
	rate, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	send := floodTopic
	if args[1] == "http" {
		send = floodHTTP
	}
	ctx, stop := context.WithCancelCause(context.Background())
	c := &counters{}
	var senders sync.WaitGroup
	senders.Go(func() {
		if err := send(ctx, c, rate, args[2], args[3]); err != nil {
			stop(err)
		}
	})
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	from, began := c.now(), time.Now()
	if _, err := in.ReadString('\n'); !errors.Is(err, io.EOF) {
		return err
	}
	to, lasted := c.now(), time.Since(began)
	stop(nil)
	senders.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(toll{Seconds: lasted.Seconds(), Sent: to.Sent - from.Sent, Refused: to.Refused - from.Refused, Dials: to.Dials - from.Dials})
}

// floodHTTP sends single events over a few connections, at the rate or as fast as answers come. It writes requests itself, because an
// http.Client takes more of the machine than neuronx-ingest does to refuse them.
func floodHTTP(ctx context.Context, c *counters, rate int, address, key string) error {
	errs := make(chan error, floodConnections)
	for k := range floodConnections {
		go func() {
			errs <- floodConnection(ctx, c, floodConnections*time.Second/time.Duration(rate), k, address, key)
		}()
	}
	var err error
	for range floodConnections {
		err = errors.Join(err, <-errs)
	}
	return err
}

func floodConnection(ctx context.Context, c *counters, every time.Duration, k int, address, key string) (err error) {
	var conn net.Conn
	var answers *bufio.Reader
	dial := func() error {
		if conn, err = net.Dial("tcp", address); err == nil {
			answers = bufio.NewReader(conn)
		}
		return err
	}
	if err := dial(); err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(k)))
	var body, req []byte
	next := time.Now().Add(every * time.Duration(k) / floodConnections)
	for wait(ctx, next) == nil {
		if next = next.Add(every); time.Since(next) > time.Second { // what can't be made up for is given up
			next = time.Now()
		}
		body = appendEvent(body[:0], randomID(rng))
		req = fmt.Appendf(req[:0], "POST /v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			address, key, mediaOne, len(body), body)
		if _, err := conn.Write(req); err != nil {
			return err
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		switch resp.StatusCode {
		case http.StatusTooManyRequests:
			c.refused.Add(1)
		case http.StatusAccepted:
		default:
			return fmt.Errorf("the flood gets %s: %.300s", resp.Status, text)
		}
		c.sent.Add(1)
		if resp.Close {
			c.dials.Add(1)
			if err := errors.Join(conn.Close(), dial()); err != nil {
				return err
			}
		}
	}
	return nil
}

// floodTopic writes the record of a file, with a new id each time, to its tenant's landing topic.
func floodTopic(ctx context.Context, c *counters, rate int, broker, file string) error {
	made, err := readStored(file)
	if err != nil {
		return err
	}
	like := made[0][0]
	client, err := kgo.NewClient(producing([]string{broker}, kgo.ProducerLinger(5*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer client.Close()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	failed := make(chan error, 1)
	began := time.Now()
	for n := 0; wait(ctx, time.Now().Add(5*time.Millisecond)) == nil; {
		for due := int(time.Since(began).Seconds() * float64(rate)); n < due; n++ {
			r := &kgo.Record{Topic: kafka.LandingTopic(like.Tenant), Key: []byte(like.Tenant), Value: like.Value}
			for _, h := range like.Headers {
				if h.Key == "ce_id" {
					h.Value = []byte(randomID(rng))
				}
				r.Headers = append(r.Headers, h)
			}
			client.Produce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) {
				if err == nil {
					c.sent.Add(1)
					return
				}
				select {
				case failed <- err:
				default:
				}
			})
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
	return client.Flush(context.WithoutCancel(ctx))
}
