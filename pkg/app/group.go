package app

import (
	"context"
	"errors"
	"fmt"
)

// Group runs actors side by side. The first that returns ends the context of all; Run returns when every one has returned. What must
// happen in order belongs into one actor.
type Group struct {
	actors []actor
}

type actor struct {
	name string
	run  func(context.Context) error
}

// NewGroup makes an empty group.
func NewGroup() *Group { return &Group{} }

// Add adds an actor, which returns soon after its context ends.
func (g *Group) Add(name string, run func(context.Context) error) {
	g.actors = append(g.actors, actor{name, run})
}

// Run runs the actors and returns the first failure, with the actor's name. An actor that returns because the context ended has not
// failed; one that returns before that stops the group, and without an error of its own is itself the error.
func (g *Group) Run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	type exit struct {
		name  string
		err   error
		early bool
	}
	exits := make(chan exit)
	for _, a := range g.actors {
		go func() {
			err := a.run(ctx)
			exits <- exit{a.name, err, ctx.Err() == nil}
		}()
	}
	var failure error
	for range g.actors {
		e := <-exits
		if failure == nil {
			switch {
			case e.err != nil && !errors.Is(e.err, context.Canceled):
				failure = fmt.Errorf("%s: %w", e.name, e.err)
			case e.early:
				failure = fmt.Errorf("%s returned while it should run", e.name)
			}
		}
		cancel()
	}
	return failure
}
