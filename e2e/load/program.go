package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/neuronx/engine/e2e/checker"
)

// Program is a producer in another language: it reads a Lead a line and writes an Outcome a line. One that ends is started again and
// given again what it has not said to be acknowledged, with the same ids, as its own users would do.
type Program struct {
	Command []string
	Env     []string
	Log     string // file for what it complains about
}

// Run feeds the program until ctx ends and gives it a minute to finish.
func (p Program) Run(ctx context.Context, f Feed) error {
	w := &piped{program: p, name: f.Name, out: make(chan Outcome, 1<<14), open: map[string]Lead{}}
	if err := w.start(); err != nil {
		return err
	}
	defer w.kill()
	return f.run(ctx, w, time.Minute)
}

// piped is the sink of a program.
type piped struct {
	program Program
	name    string
	out     chan Outcome

	mu      sync.Mutex // of what follows
	open    map[string]Lead
	in      io.WriteCloser
	cmd     *exec.Cmd
	closing bool
	starts  int
}

// start runs the program. Its outcomes are read until it ends; then it is started again, unless it was told to end.
func (w *piped) start() error {
	log, err := os.OpenFile(w.program.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(w.program.Command[0], w.program.Command[1:]...)
	cmd.Env = append(os.Environ(), w.program.Env...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", w.name, err)
	}
	w.mu.Lock()
	w.cmd, w.in = cmd, in
	w.starts++
	w.mu.Unlock()
	go w.read(cmd, out)
	return nil
}

func (w *piped) read(cmd *exec.Cmd, out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var o Outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			continue
		}
		w.mu.Lock()
		l, ok := w.open[o.ID]
		again := ok && o.Outcome == checker.Unknown && !w.closing
		if !again {
			delete(w.open, o.ID)
		}
		w.mu.Unlock()
		switch {
		case again:
			_ = w.Send(context.Background(), []Lead{l})
		case ok:
			w.out <- o
		}
	}
	_ = cmd.Wait()
	w.mu.Lock()
	closing := w.closing
	var rest []Lead
	for _, l := range w.open {
		rest = append(rest, l)
	}
	w.mu.Unlock()
	if closing || w.start() != nil {
		close(w.out)
		return
	}
	_ = w.Send(context.Background(), rest)
}

// Send writes lines to the program. One that has just ended gets them after its next start.
func (w *piped) Send(_ context.Context, leads []Lead) error {
	var text bytes.Buffer
	w.mu.Lock()
	for _, l := range leads {
		w.open[l.ID] = l
		text.Write(line(l))
	}
	in := w.in
	w.mu.Unlock()
	_, _ = in.Write(text.Bytes())
	return nil
}

func (w *piped) Outcomes() <-chan Outcome { return w.out }

// Close ends the program's input.
func (w *piped) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	return w.in.Close()
}

func (w *piped) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	_ = syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL)
}
