package ruleadmin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/backtest"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// BacktestAsk is what a backtest is asked for, as it is written. Empty texts are left out.
type BacktestAsk struct {
	Tenant   string
	From     string // a time by RFC 3339, or an age such as -30d
	To       string // likewise; left out: where the archive ends
	Against  string // a version such as v7; left out: the one in force
	Outcomes string // succeed, recorded or fail=2%; left out: succeed
	Warm     string // an ISO 8601 duration; left out: all that is recorded before From is folded
	Personal bool   // show personal values
}

// Backtest is a backtest whose parts are there: Run runs it.
type Backtest struct {
	cfg      backtest.Config
	reader   *archive.Reader
	registry rules.Registry
	warm     time.Time // zero: from the beginning
	open     bool      // To was left out
}

// PlanBacktest checks what is asked, and the rules that are to be tried. problems are as Check has them.
func PlanBacktest(ctx context.Context, env *operate.Env, paths []string, ask BacktestAsk) (b *Backtest, problems rulefile.Problems, err error) {
	b = &Backtest{cfg: backtest.Config{Tenant: ask.Tenant, Personal: ask.Personal}}
	if err := b.read(env.Now(), ask); err != nil {
		return nil, nil, err
	}
	version, err := readVersion(ask.Against)
	if err != nil {
		return nil, nil, err
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	reg, err := env.Registry()
	if err != nil {
		return nil, nil, err
	}
	files, problems, _, err := check(ctx, env, paths, false)
	if err != nil {
		return nil, problems, err
	}
	b.cfg.Candidate = backtest.Rules{Name: strings.Join(paths, " "), Files: files}
	in, found, err := load(ctx, env, ask.Tenant, version)
	switch {
	case err != nil:
		return nil, problems, err
	case found.Version == 0 && version > 0:
		return nil, problems, operate.Fail("backtest the rules", nil).Because("%s never published a version %d", ask.Tenant, version).Hint("`neuronx rules list --all --tenant %s` lists the versions", ask.Tenant)
	case found.Version == 0:
		env.Note("%s has no rules in force: the files are compared with none", ask.Tenant)
		b.cfg.Against = backtest.Rules{Name: "no rules"}
	default:
		b.cfg.Against = backtest.Rules{Name: fmt.Sprintf("v%d", found.Version), Version: found.Version, Files: in}
	}
	b.reader, b.registry = archive.NewReader(pool), reg
	if err := b.bound(ctx, env, pool); err != nil {
		return nil, problems, err
	}
	return b, problems, nil
}

// read reads what needs nobody to be asked.
func (b *Backtest) read(now time.Time, ask BacktestAsk) (err error) {
	if b.cfg.From, err = readTime("from", ask.From, now); err != nil {
		return err
	}
	b.cfg.To, b.open = now, ask.To == ""
	if !b.open {
		if b.cfg.To, err = readTime("to", ask.To, now); err != nil {
			return err
		}
	}
	switch {
	case b.cfg.From.After(now):
		return operate.Usage("--from %s has not come yet", ask.From).Hint("a backtest runs over what is recorded, such as --from -30d")
	case b.cfg.To.After(now):
		return operate.Usage("--to %s has not come yet", ask.To).Hint("leave --to out: a backtest then ends where the archive does")
	case !b.cfg.From.Before(b.cfg.To):
		return operate.Usage("--from %s is not before --to %s", ask.From, ask.To).Because("nothing is recorded between them")
	}
	if ask.Warm != "" {
		d, err := calendar.ParseDuration(ask.Warm)
		if err != nil || d.IsZero() {
			return operate.Usage("--warm %q is not a duration", ask.Warm).Hint("ISO 8601, such as P90D")
		}
		b.warm = b.cfg.From.AddDate(0, -d.Months, -d.Days).Add(-d.Elapsed)
	}
	b.cfg.Outcomes, err = readOutcomes(ask.Outcomes)
	return err
}

// ages are the units of an age.
var ages = map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}

// maxAge bounds an age: more is a slip of the finger.
const maxAge = 100 * 365 * 24 * time.Hour

// readTime reads a time, or an age such as -30d.
func readTime(flag, text string, now time.Time) (time.Time, error) {
	if age, is := strings.CutPrefix(text, "-"); is && len(age) > 1 {
		unit, known := ages[age[len(age)-1]]
		if n, err := strconv.ParseUint(age[:len(age)-1], 10, 32); err == nil && known && n > 0 && n <= uint64(maxAge/unit) {
			return now.Add(-time.Duration(n) * unit), nil
		}
	}
	at, refusal := event.ParseTime(text)
	if refusal != nil {
		return at, operate.Usage("--%s %q is neither a time nor an age", flag, text).Hint("such as 2026-01-31T12:00:00Z, or -30d; ages are in m, h, d and w")
	}
	return at, nil
}

func readVersion(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64)
	if err != nil || n < 1 {
		return 0, operate.Usage("--against %q is not a version", text).Hint("such as v7; `neuronx rules list --all` lists the versions")
	}
	return n, nil
}

func readOutcomes(text string) (o backtest.Outcomes, err error) {
	share, fails := strings.CutPrefix(text, "fail=")
	switch {
	case text == "" || text == "succeed":
		return o, nil
	case text == "recorded":
		o.Recorded = true
		return o, nil
	case fails && strings.HasSuffix(share, "%"):
		if o.Fail, err = strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64); err == nil && o.Fail >= 0 && o.Fail <= 100 {
			o.Fail /= 100
			return o, nil
		}
	}
	e := operate.Usage("--outcomes %q is not possible", text)
	if near := operate.Nearest(text, []string{"succeed", "recorded"}); near != "" {
		return o, e.Hint("did you mean %s? use succeed, recorded or fail=2%%", near)
	}
	return o, e.Hint("use succeed, recorded or fail=2%%")
}

// bound finds where folding begins, and refuses an end that the archive has not reached.
func (b *Backtest) bound(ctx context.Context, env *operate.Env, q archive.Querier) error {
	newest, err := archive.Newest(ctx, q, archive.Filter{Tenant: b.cfg.Tenant, Limit: 1})
	if err != nil {
		return operate.Fail("find the end of the archive", err)
	}
	if len(newest) == 0 {
		return env.NotArchived(ctx, b.cfg.Tenant, "no events", "", "publish some, or import them")
	}
	end := newest[0].RecordedTime
	switch {
	case !b.open && end.Before(b.cfg.To):
		return operate.Fail("backtest the rules", nil).Because("the archive of %s ends at %s, before --to", b.cfg.Tenant, event.FormatTime(end)).
			Hint("leave --to out, and the backtest ends there; `neuronx status` shows whether the archiver runs")
	case end.Before(b.cfg.From):
		return b.noFacts()
	case b.open:
		b.cfg.To = end.Add(time.Millisecond).Truncate(time.Millisecond)
		if err := env.NoteBehind(ctx, b.cfg.Tenant); err != nil {
			return err
		}
	}
	b.cfg.First = 1
	if b.warm.IsZero() {
		return nil
	}
	first, ok, err := archive.FirstSince(ctx, q, b.cfg.Tenant, b.warm)
	if err != nil {
		return operate.Fail("find the sequence of that time", err)
	}
	if !ok {
		return b.noFacts()
	}
	if b.cfg.First = first; first == 1 {
		return nil
	}
	b.cfg.Base, err = before(ctx, env, b.cfg.Tenant, first)
	return err
}

func (b *Backtest) noFacts() error {
	return operate.Fail("backtest the rules", nil).Because("%s has no fact from outside on record between %s and %s", b.cfg.Tenant, event.FormatTime(b.cfg.From), event.FormatTime(b.cfg.To)).
		Hint("`neuronx events list --tenant %s` lists the newest events", b.cfg.Tenant)
}

// Run runs the backtest over the archive as it is now. It reads as long as it takes; the context ends it.
func (b *Backtest) Run(ctx context.Context) (report backtest.Report, err error) {
	err = b.reader.Snapshot(ctx, b.cfg.Tenant, func(s *archive.Snapshot) error {
		report, err = backtest.Run(ctx, b.cfg, s, b.registry)
		return err
	})
	switch {
	case errors.Is(err, backtest.ErrNoFacts):
		return report, b.noFacts()
	case errors.Is(err, backtest.ErrTooMuch):
		return report, operate.Fail("backtest the rules", err).Hint("look for rules that answer each other's events: `neuronx rules validate`")
	case err != nil:
		return report, operate.Fail("backtest the rules", err)
	}
	return report, nil
}

// before is the bundle that was in force before a sequence; nil: none was.
func before(ctx context.Context, env *operate.Env, tenant string, sequence int64) ([]ruleset.File, error) {
	var version int64
	found, err := env.Row(ctx, "find the rules in force then", []any{&version}, `SELECT version FROM neuronx.rule_bundles WHERE tenant_id = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT 1`, tenant, sequence)
	if err != nil || !found {
		return nil, err
	}
	files, _, err := load(ctx, env, tenant, version)
	return files, err
}
