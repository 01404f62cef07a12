package badinput

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// program calls the operators' program with -o json and looks at exit code, code and problems.
func (p *Player) program(ctx context.Context, in *Program, want Expect) error {
	p.calls++
	dir := filepath.Join(p.Dir, fmt.Sprintf("call-%d", p.calls))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files := in.Files
	if in.Text != nil {
		files = append(files, File{Name: "schema.avsc", Data: in.Text})
	}
	for _, f := range files {
		if err := p.file(filepath.Join(dir, f.Name), f.Data); err != nil {
			return err
		}
	}
	key := filepath.Join(dir, "api-key")
	if err := os.WriteFile(key, []byte(p.Keys["writer"]), 0o600); err != nil {
		return err
	}
	args := make([]string, len(in.Args))
	for i, a := range in.Args {
		args[i] = strings.NewReplacer("{dir}", dir, "{key}", key).Replace(a)
	}
	out, errs, exit, err := p.call(ctx, append([]string{"-o", "json"}, args...))
	if err != nil {
		return err
	}
	code := codeOf(errs)
	if exit != want.Exit || code != want.Code {
		return fmt.Errorf("exit %d, code %q, want %d %q: %.600s", exit, code, want.Exit, want.Code, errs)
	}
	if want.Problem != "" && !hasProblem(out, want.Problem) {
		return fmt.Errorf("no problem %s among: %.600s", want.Problem, out)
	}
	if !strings.Contains(out+errs, want.Says) {
		return fmt.Errorf("%q is not said: %.600s %.600s", want.Says, out, errs)
	}
	return nil
}

func (p *Player) file(path string, data Bytes) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(data.Write(f, p.Schemas), f.Close())
}

func (p *Player) call(ctx context.Context, args []string) (stdout, stderr string, exit int, err error) {
	cmd := p.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return "", "", 0, fmt.Errorf("neuronx %s: %w", strings.Join(args, " "), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.ProgramKB = max(p.ProgramKB, watchMemory(cmd.Process.Pid, ended, &err))
	var failed *exec.ExitError
	if err != nil && (!errors.As(err, &failed) || ctx.Err() != nil) {
		return "", "", 0, fmt.Errorf("neuronx %s: %w %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), nil
}

// watchMemory waits for the end of a process and returns the most memory that it was seen with, in KiB. What wait4 tells is of no use:
// on Linux it begins with what the parent had.
func watchMemory(pid int, ended <-chan error, result *error) int64 {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var most int64
	for {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			var kb int64
			if _, value, ok := strings.Cut(string(status), "VmHWM:"); ok {
				if _, err := fmt.Sscan(value, &kb); err == nil {
					most = max(most, kb)
				}
			}
		}
		select {
		case *result = <-ended:
			return most
		case <-tick.C:
		}
	}
}

// Idle returns what the operators' program needs to say its version, in KiB.
func (p *Player) Idle(ctx context.Context) (int64, error) {
	_, errs, exit, err := p.call(ctx, []string{"version"})
	if err != nil || exit != 0 {
		return 0, fmt.Errorf("neuronx version: %d %s %w", exit, errs, err)
	}
	return p.ProgramKB, nil
}

// codeOf reads the code from the one line of JSON that ends what is written to stderr.
func codeOf(stderr string) event.Code {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	var last struct{ Error struct{ Code event.Code } }
	_ = json.Unmarshal([]byte(lines[len(lines)-1]), &last) // what is no JSON has no code
	return last.Error.Code
}

func hasProblem(stdout, code string) bool {
	var rows []struct {
		Code    string
		Warning bool
	}
	if json.Unmarshal([]byte(stdout), &rows) != nil {
		return false
	}
	for _, r := range rows {
		if r.Code == code && !r.Warning {
			return true
		}
	}
	return false
}

// register asks the registry by its own API to take a schema, and wants it refused.
func (p *Player) register(ctx context.Context, text Bytes, want int) error {
	if want == 0 {
		return nil
	}
	schema, err := text.Make(p.Schemas)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"schema": string(schema)})
	if err != nil {
		return err
	}
	headers := http.Header{"Content-Type": {"application/vnd.schemaregistry.v1+json"}}
	status, answer, err := post(ctx, http.MethodPost, p.Registry+"/subjects/"+Subject+"/versions", headers, bytes.NewReader(body))
	if err != nil {
		return err
	}
	var got struct {
		Code int `json:"error_code"`
	}
	if err := json.Unmarshal(answer, &got); err != nil || got.Code != want {
		return fmt.Errorf("the registry answered %d %.300s, want %d", status, answer, want)
	}
	return nil
}
