package consumer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// FeedMain names the feed of the handler that New is given, where feeds are told apart: in labels, flags and tables.
const FeedMain = "main"

// Feed is a further handler in the same group. It sees the same records in the same transactions, each in a savepoint of its own, and
// has rows of its own in neuronx.progress, under RowName(group, Name). So what one feed can't apply stalls a tenant in that feed only.
// When the main feed fails for a reason that isn't in the event (a locked or missing table, a registry that is away), the main feed is
// set aside: its tenants catch up from the archive once it works again, and the further feeds go on.
type Feed struct {
	Name    string // of a-z and -
	Handler Handler
}

// RowName is the consumer that a feed's rows in neuronx.progress have.
func RowName(group, feed string) string {
	if feed == "" || feed == FeedMain {
		return group
	}
	return group + "." + feed
}

// SplitName takes the consumer of a row apart: "neuronx.projector.control" is feed control of the group neuronx.projector.
func SplitName(consumer string) (group, feed string) {
	first, rest, ok := strings.Cut(consumer, ".")
	name, feed, further := strings.Cut(rest, ".")
	if !ok || !further {
		return consumer, FeedMain
	}
	return first + "." + name, feed
}

// Feed names the feed of a row.
func (r Row) Feed() string {
	_, feed := SplitName(r.Consumer)
	return feed
}

// feed is one handler with its rows.
type feed struct {
	consumer string // in the rows
	name     string
	handler  Handler // as given
	applies  Handler // the same, without what was skipped
	skips    skips
	writing  sync.Mutex  // one transaction that applies at a time: a handler is never called by two goroutines
	aside    atomic.Bool // batches leave its events to the catch-up
	main     bool
}

// makeFeeds puts the further feeds first: what they write must not wait for the main feed's statements.
func makeFeeds(group string, main Handler, further []Feed) ([]*feed, error) {
	var feeds []*feed
	add := func(name string, h Handler, main bool) {
		f := &feed{consumer: RowName(group, name), name: name, handler: h, main: main}
		f.applies = withoutSkips(h, &f.skips)
		feeds = append(feeds, f)
	}
	for _, f := range further {
		if f.Name == "" || f.Name == FeedMain || strings.Contains(f.Name, ".") || f.Handler == nil {
			return nil, errors.New("consumer: a further feed needs a handler and a name of its own without a dot")
		}
		add(f.Name, f.Handler, false)
	}
	add(FeedMain, main, true)
	return feeds, nil
}

// names are the consumers under which the feeds have rows.
func (c *Consumer) names() []string {
	names := make([]string, len(c.feeds))
	for i, f := range c.feeds {
		names[i] = f.consumer
	}
	return names
}

// handlerOf is what applies events of a row: the handler of its feed, without the events that were skipped.
func (c *Consumer) handlerOf(r Row) Handler {
	if i := slices.IndexFunc(c.feeds, func(f *feed) bool { return f.consumer == r.Consumer }); i >= 0 {
		return c.feeds[i].applies
	}
	return c.handler
}

// lock keeps the feeds' catch-ups from applying while a batch does. A feed that is set aside is not applied by batches.
func (c *Consumer) lock(aside bool) (unlock func()) {
	var held []*feed
	for _, f := range c.feeds {
		if f.main && aside {
			continue
		}
		f.writing.Lock()
		held = append(held, f)
	}
	return func() {
		for _, f := range held {
			f.writing.Unlock()
		}
	}
}

// setsAside decides whether the next attempt of a batch leaves the main feed out, after some attempts that failed. Two failures are
// needed, because one is often a deadlock or a connection that broke; a lock that wasn't given in time and a table that is missing are
// told by their code. Attempts take turns, so that an outage of all of Postgres doesn't set anything aside for good. It is pure.
func setsAside(failures int, last error) bool {
	var pg *pgconn.PgError
	if errors.As(last, &pg) && (pg.Code == "55P03" || strings.HasPrefix(pg.Code, "42")) {
		return failures%2 == 1
	}
	return failures >= 2 && failures%2 == 0
}

// putAside leaves a batch's events of one generation to the catch-up of its feed.
func (s *session) putAside(j *job) {
	waiting := j.row
	if waiting.State == Live {
		waiting.State = CatchingUp
	}
	j.d = pass(waiting, j.events, s.logs)
	j.next = j.row
	switch {
	case j.d.stall != "":
		j.next.State, j.next.Reason = Stalled, j.d.stall
	case j.row.State == Live && j.d.passed > 0:
		j.next.State = CatchingUp
	}
	j.next.Seen = max(j.next.Seen, j.d.seen)
}

// setMainAside is told of a batch that was written without the main feed.
func (s *session) setMainAside(cause error) {
	main := s.c.feeds[len(s.c.feeds)-1]
	if main.aside.Swap(true) {
		return
	}
	s.log.Error("the main feed can't be written; its tenants wait and catch up when it can, the other feeds go on", "err", cause)
}

// takeBack lets batches write a feed again, after a round of its catch-up in which everything worked.
func (s *catcher) takeBack(ctx context.Context, err error) {
	if err != nil || !s.applied || ctx.Err() != nil {
		return
	}
	s.applied = false
	if s.feed.aside.Swap(false) {
		s.log.Info("the main feed can be written again")
	}
}
