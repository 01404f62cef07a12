package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// scope is what e2e/cluster needs of a test: a place for files, an end at which things are cleaned up, a way to give up.
type scope struct {
	testing.TB // for its unexported method; every other that is used is below
	dir        string
	cleanups   []func()
	errs       []error
}

type givenUp struct{ error }

// scoped calls fn and then cleans up, also when fn panics.
func scoped(fn func(t *scope) error) (err error) {
	t := &scope{}
	defer func() {
		for i := len(t.cleanups) - 1; i >= 0; i-- {
			t.cleanups[i]()
		}
		err = errors.Join(append([]error{err}, t.errs...)...)
	}()
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case givenUp:
			err = cause.error
		default:
			panic(cause)
		}
	}()
	if t.dir, err = os.MkdirTemp("", "neuronx-bench-"); err != nil {
		return err
	}
	t.Cleanup(func() { _ = os.RemoveAll(t.dir) })
	return fn(t)
}

func (t *scope) Helper()           {}
func (t *scope) Name() string      { return "bench" }
func (t *scope) TempDir() string   { return t.dir }
func (t *scope) Cleanup(fn func()) { t.cleanups = append(t.cleanups, fn) }
func (t *scope) Failed() bool      { return len(t.errs) > 0 }
func (t *scope) Error(args ...any) { t.errs = append(t.errs, errors.New(fmt.Sprint(args...))) }
func (t *scope) Errorf(f string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf(f, args...))
}
func (t *scope) Fatal(args ...any)            { panic(givenUp{errors.New(fmt.Sprint(args...))}) }
func (t *scope) Fatalf(f string, args ...any) { panic(givenUp{fmt.Errorf(f, args...)}) }
func (t *scope) Log(args ...any)              { fmt.Fprintln(os.Stderr, args...) }
func (t *scope) Logf(f string, args ...any)   { fmt.Fprintf(os.Stderr, f+"\n", args...) }

// repository is the folder with go.work, at or above this one.
func repository() (string, error) {
	dir, err := filepath.Abs(".")
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.work")); e == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("run it inside of the repository")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
