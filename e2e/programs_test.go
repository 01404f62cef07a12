//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const producers = "../examples/producers"

// prepared copies files of an example into a folder of the user's cache, once for each version of them, runs the commands that fetch
// what it needs there, and returns the folder.
func prepared(t *testing.T, ctx context.Context, name string, files []string, commands ...[]string) string {
	t.Helper()
	hash := sha256.New()
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(producers, name, f))
		noError(t, err)
		fmt.Fprintf(hash, "%s %d ", f, len(text))
		hash.Write(text)
	}
	cache, err := os.UserCacheDir()
	noError(t, err)
	dir := filepath.Join(cache, "neuronx-e2e", fmt.Sprintf("%s-%.6x", name, hash.Sum(nil)))
	whole := filepath.Join(dir, "whole")
	if _, err := os.Stat(whole); err == nil {
		return dir
	}
	noError(t, os.RemoveAll(dir))
	noError(t, os.MkdirAll(dir, 0o755))
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(producers, name, f))
		noError(t, err)
		noError(t, os.WriteFile(filepath.Join(dir, f), text, 0o644))
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	noError(t, os.WriteFile(whole, nil, 0o644))
	return dir
}

// pythonProgram, javaProgram and so on fetch what an example needs and return the command that runs it.
func pythonProgram(t *testing.T, ctx context.Context) []string {
	dir := prepared(t, ctx, "python", []string{"requirements.txt"}, []string{"python3", "-m", "venv", "."},
		[]string{"bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"})
	return []string{filepath.Join(dir, "bin", "python"), filepath.Join(producers, "python", "publish.py")}
}

func javaProgram(t *testing.T, ctx context.Context) []string {
	dir := prepared(t, ctx, "java", []string{"pom.xml"}, []string{"mvn", "-B", "-q", "dependency:copy-dependencies"})
	return []string{"java", "-Xmx128m", "-cp", filepath.Join(dir, "target", "dependency", "*"), filepath.Join(producers, "java", "Publish.java")}
}

func nodeProgram(t *testing.T, ctx context.Context) []string {
	dir := prepared(t, ctx, "node", []string{"package.json", "package-lock.json", "publish.js"}, []string{"npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"})
	return []string{"node", filepath.Join(dir, "publish.js")}
}

func goProgram(t *testing.T, ctx context.Context) []string {
	dir := prepared(t, ctx, "go", []string{"go.mod", "go.sum", "main.go"}, []string{"go", "build", "-o", "publish", "."})
	return []string{filepath.Join(dir, "publish")}
}

func scriptProgram(name string, needs ...string) func(*testing.T, context.Context) []string {
	return func(t *testing.T, _ context.Context) []string {
		for _, tool := range append(needs, "bash", "jq", "curl") {
			if _, err := exec.LookPath(tool); err != nil {
				t.Fatalf("%s needs %s: %v", name, tool, err)
			}
		}
		return []string{"bash", filepath.Join(producers, name, "publish.sh")}
	}
}

// program is an example that runs: events go in, outcomes come out.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	errs   bytes.Buffer
	answer struct{ ID, Outcome string }
}

// startProgram runs the command in a group of its own, so that what a script has started ends with it.
func startProgram(ctx context.Context, args []string, env ...string) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Cancel = p.kill
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	return p, p.cmd.Start()
}

// next reads the next outcome; io.EOF after the last.
func (p *program) next() (id, outcome string, err error) {
	if !p.out.Scan() {
		if err := p.out.Err(); err != nil {
			return "", "", err
		}
		return "", "", io.EOF
	}
	if err := json.Unmarshal(p.out.Bytes(), &p.answer); err != nil {
		return "", "", fmt.Errorf("%q: %w", p.out.Text(), err)
	}
	return p.answer.ID, p.answer.Outcome, nil
}

func (p *program) kill() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// publishAll lets a program publish the input to its end and returns the ids that it calls acknowledged.
func publishAll(t *testing.T, ctx context.Context, args []string, input string, env ...string) []string {
	t.Helper()
	p, err := startProgram(ctx, args, env...)
	noError(t, err)
	_, err = io.WriteString(p.in, input)
	noError(t, err)
	noError(t, p.in.Close())
	var ok []string
	for {
		id, outcome, err := p.next()
		if errors.Is(err, io.EOF) {
			break
		}
		noError(t, err)
		if outcome != "ok" {
			t.Errorf("%s is %s", id, outcome)
			continue
		}
		ok = append(ok, id)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, p.errs.String())
	}
	slices.Sort(ok)
	return ok
}
