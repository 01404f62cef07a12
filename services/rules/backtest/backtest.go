package backtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Errors of a backtest that can't be run.
var (
	ErrNoFacts = errors.New("nothing happened in that time: the archive has no fact from outside in it")
	ErrTooMuch = errors.New("the rules derive more than a backtest can hold: they answer each other")
)

// maxDerived is how many events one timeline may derive for each fact, on average, besides leastDerived.
const (
	maxDerived   = 50
	leastDerived = 100_000
)

// Rules are the rules of one timeline.
type Rules struct {
	Name    string // what the report calls them, such as v7 or a folder
	Version int64  // that was published; 0: none was
	Files   []ruleset.File
}

// Config is what a backtest compares, and over what.
type Config struct {
	Tenant    string
	From, To  time.Time // facts admitted at From or later and before To
	Against   Rules     // without files: no rules at all
	Candidate Rules
	Outcomes  Outcomes
	Personal  bool // show values of fields that are marked as personal

	First int64          // the sequence at which folding begins; 1: all that is recorded
	Base  []ruleset.File // in force before First; none: no rules were published

	least int64 // events that a timeline may derive in any case; 0: leastDerived
}

// Outcomes says how commands end that a timeline derives: they succeed, but for a share. What an import caused is recorded in any case, as the
// adapter does.
type Outcomes struct {
	Fail     float64 // of which share, from 0 to 1
	Recorded bool    // none is sent: each is recorded, as by a connection in the mode record
}

// String is what the report says of them.
func (o Outcomes) String() string {
	switch {
	case o.Recorded:
		return "recorded"
	case o.Fail == 0:
		return "succeed"
	}
	return "fail=" + strconv.FormatFloat(100*o.Fail, 'f', -1, 64) + "%"
}

// usual is how long commands take when the tenant has no outcome on record before From.
const usual = 2 * time.Second

// input is what a timeline is given: a recorded event, or the word that From is reached.
type input struct {
	event   *event.Recorded
	begins  bool
	latency time.Duration // of commands; with begins
}

// Run runs both timelines over what a source has of the tenant. The registry is used from three goroutines.
func Run(ctx context.Context, cfg Config, source stream.Source, registry rules.Registry) (Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newMatcher(newSchemas(registry), cfg.Personal)
	var timelines [2]*timeline
	var feeds [2]chan input
	var running sync.WaitGroup
	for side := range timelines {
		w := newTimeline(cfg, side, newSchemas(registry), m, source)
		feeds[side], timelines[side] = make(chan input, 1024), w
		running.Add(1)
		go func() {
			defer running.Done()
			if err := w.run(ctx, feeds[side]); err != nil {
				cancel(err)
			}
		}()
	}
	r := newReader(cfg, newSchemas(registry))
	err := stream.Fold(ctx, source, cfg.Tenant, cfg.First, stream.Open, func(e *event.Recorded) error {
		ins, err := r.read(ctx, e)
		for _, in := range ins {
			for _, feed := range feeds {
				select {
				case feed <- in:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return err
	})
	if errors.Is(err, stream.ErrEnded) || errors.Is(err, errRead) {
		err = nil
		if r.facts == 0 {
			err = ErrNoFacts
		}
	}
	if err != nil {
		cancel(err)
	}
	for _, feed := range feeds {
		close(feed)
	}
	running.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return Report{}, fmt.Errorf("backtest the rules of %s: %w", cfg.Tenant, cause)
	}
	report, err := newReport(ctx, cfg, r, timelines, m)
	if err != nil {
		return Report{}, fmt.Errorf("backtest the rules of %s: %w", cfg.Tenant, err)
	}
	return report, nil
}

// errRead ends the reading: To is reached.
var errRead = errors.New("all was read")
