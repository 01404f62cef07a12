package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/secret"
)

// What processes wait for, as readiness and metrics name it.
const (
	ComponentPostgres = "postgres"
	ComponentKafka    = "kafka"
	ComponentRegistry = "registry"
)

// QuickAttempt is the limit of an attempt that asks a dependency for little.
const QuickAttempt = 10 * time.Second

// Fatal marks an error that waiting can't mend: a person has to correct the configuration.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}

type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

// IsFatal reports whether an error was marked with Fatal.
func IsFatal(err error) bool {
	var f *fatalError
	return errors.As(err, &f)
}

// Wait tries something that a component has to be there for until it succeeds, ctx ends, or it fails with an error that was marked
// with Fatal. what says in a few words what is tried ("connect to Postgres"). An attempt that takes longer than limit counts as one that
// failed, so that a dependency that takes a connection and never answers is told, too. Meanwhile the process is not ready and says why.
func (rt *Runtime) Wait(ctx context.Context, component, what string, limit time.Duration, try func(context.Context) error) error {
	began := time.Now()
	for attempt := 0; ; attempt++ {
		once, cancel := context.WithTimeout(ctx, limit)
		err := try(once)
		timedOut := once.Err() != nil
		cancel()
		switch {
		case err == nil:
			rt.Ready.Attempt("start: "+what, component, nil)
			if attempt > 0 {
				rt.Log.Info("no longer waiting", "for", component, "to", what, "waited", time.Since(began).Round(time.Millisecond))
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case IsFatal(err):
			return fmt.Errorf("%s: %w", what, err)
		case timedOut && errors.Is(err, context.DeadlineExceeded):
			err = fmt.Errorf("no answer in %s: %w", limit, err)
		}
		rt.Ready.Attempt("start: "+what, component, err)
		pause := backoff.Pause(attempt)
		rt.Log.Warn("waiting", "for", component, "to", what, "err", err, "pause", pause.Round(time.Millisecond))
		if err := backoff.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// Probe asks every interval whether a component answers, and reports it under its name, until ctx ends. An answer that does not come
// within 5 s counts as a failure. It returns nil.
func (rt *Runtime) Probe(ctx context.Context, component string, interval time.Duration, ask func(context.Context) error) error {
	return rt.ProbeFor(ctx, "", component, interval, ask)
}

// ProbeFor is Probe for one of several questions that the same component is asked. what names the question: an answer to another one does
// not end the trouble that this one has found.
func (rt *Runtime) ProbeFor(ctx context.Context, what, component string, interval time.Duration, ask func(context.Context) error) error {
	activity := "probe " + component
	if what != "" {
		activity += ": " + what
	}
	for {
		once, cancel := context.WithTimeout(ctx, Grace)
		err := ask(once)
		if err != nil && once.Err() != nil {
			err = fmt.Errorf("no answer in %s: %w", Grace, err)
		}
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		rt.Ready.Attempt(activity, component, err)
		if err != nil {
			rt.Log.Warn("a dependency does not answer; what needs it waits", "component", component, "err", err)
		}
		if backoff.Wait(ctx, interval/2+rand.N(interval)) != nil { //nolint:gosec // spreading load is no secret
			return nil
		}
	}
}

// Reporter returns a function that takes what became of each attempt of an activity, all of one component.
func (r *Readiness) Reporter(activity, component string) func(error) {
	return func(err error) { r.Attempt(activity, component, err) }
}

// Blamed says which component an error is of, where the caller of Attempt or Wait can't know.
func Blamed(component string, err error) error {
	if err == nil {
		return nil
	}
	return &blamedError{err, component}
}

type blamedError struct {
	error
	component string
}

func (e *blamedError) Unwrap() error { return e.error }

var credentials = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^/@\s]+(@)|(?i)\b(password|passwd|secret)(\s*[=:]\s*)(?:'[^']*'|"[^"]*"|[^\s,;]+)`)

// hideCredentials removes what looks like a password: userinfo of URLs and values of keys such as password=.
func hideCredentials(s string) string {
	return credentials.ReplaceAllString(s, "${1}${3}${4}"+secret.Redacted+"${2}")
}
