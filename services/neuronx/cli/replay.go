package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/kafka/reset"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/replay"
)

func (c *cli) replay() *cobra.Command {
	return group("replay", "Replay: reset a group's offsets", c.replayOffsets())
}

// resetFlags are those of kafka-consumer-groups.sh --reset-offsets.
type resetFlags struct {
	reset.Spec                                 // but for what is read of the flags below
	offset, shift                              int64
	datetime, duration, file                   string
	dryRun, execute, export, restart, resetCmd bool
}

func (c *cli) replayOffsets() *cobra.Command {
	var f resetFlags
	cmd := &cobra.Command{
		Use: "offsets", Short: "Reset a consumer group's offsets, which each service gives its meaning", Args: noArgs, Annotations: needFlags("group"),
		Long: `Reset a consumer group's offsets. Flags, output and files are those of Kafka's own
kafka-consumer-groups.sh --reset-offsets. What a reset does depends on the group:

  neuronx.projector    back: tenants with progress beyond the offset are rebuilt and swapped
  neuronx.archiver     back: what is read again is compared with the archive, an audit
  neuronx.rules        back: outputs are derived again and compared; nothing is sent
  neuronx.gohighlevel  back: redelivered to the ledger; nothing is sent twice
  neuronx.sequencer    refused

Forward, nothing is lost: what lies between comes from the archive. Kafka resets only a
group without members; --restart stops the service and starts it again (neuronx dev).`,
		Example: `  neuronx replay offsets --group neuronx.projector --topic neuronx.events --to-earliest
  neuronx replay offsets --group neuronx.projector --all-topics --by-duration PT1H --execute --restart
  neuronx replay offsets --group neuronx.archiver --topic neuronx.events:0 --to-offset 100 --export > plan.csv
  neuronx replay offsets --group neuronx.archiver --from-file plan.csv --execute`,
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			rows, warnings, err := replay.Plan(ctx, c.env, f.Spec)
			if err != nil {
				return err
			}
			for _, w := range warnings {
				if f.restart && strings.HasPrefix(string(w), "Assignments can only be reset") {
					continue // that is what --restart is for
				}
				c.note("warning: %s", w)
			}
			switch {
			case f.execute:
				return c.executeReset(ctx, f, rows)
			case f.export:
				return c.exportRows(rows)
			}
			if !f.dryRun {
				c.note("warning: neither --execute nor --dry-run was given: this is a dry run")
			}
			return c.showRows(rows)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Group, "group", "", "the consumer group, such as neuronx.projector")
	fs.StringArrayVar(&f.Topics, "topic", nil, "a topic, or topic:0,1,2 for partitions; may be repeated")
	fs.BoolVar(&f.AllTopics, "all-topics", false, "every topic that the group has offsets for")
	fs.BoolVar(&f.ToEarliest, "to-earliest", false, "to the oldest record")
	fs.BoolVar(&f.ToLatest, "to-latest", false, "to the end")
	fs.BoolVar(&f.ToCurrent, "to-current", false, "to where the group is")
	fs.Int64Var(&f.offset, "to-offset", 0, "to this offset")
	fs.Int64Var(&f.shift, "shift-by", 0, "by so many records, back if negative")
	fs.StringVar(&f.datetime, "to-datetime", "", "to the first record at or after yyyy-MM-ddTHH:mm:ss.SSS, UTC unless a zone follows")
	fs.StringVar(&f.duration, "by-duration", "", "to the first record after now minus PnDTnHnMnS")
	fs.StringVar(&f.file, "from-file", "", "to the offsets of a CSV file: topic,partition,offset or group,topic,partition,offset")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only show (the default)")
	fs.BoolVar(&f.execute, "execute", false, "do it")
	fs.BoolVar(&f.export, "export", false, "print the plan as CSV for --from-file")
	fs.BoolVar(&f.restart, "restart", false, "with --execute: stop the group's service before and start it after (neuronx dev)")
	fs.BoolVar(&f.resetCmd, "reset-offsets", false, "accepted for those who know Kafka's tool")
	_ = fs.MarkHidden("reset-offsets")
	return cmd
}

// check checks the flags against each other, and completes the spec, before anything is asked.
func (f *resetFlags) check(cmd *cobra.Command) error {
	changed := func(name string) bool { return cmd.Flags().Changed(name) }
	targets := 0
	for name, set := range map[string]bool{
		"to-earliest": f.ToEarliest, "to-latest": f.ToLatest, "to-current": f.ToCurrent, "to-offset": changed("to-offset"),
		"shift-by": changed("shift-by"), "to-datetime": changed("to-datetime"), "by-duration": changed("by-duration"), "from-file": changed("from-file"),
	} {
		if set && changed(name) {
			targets++
		}
	}
	const all = "--to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, --by-duration, --from-file"
	switch {
	case targets != 1:
		return operate.Usage("exactly one target is needed, %d were given", targets).Hint("one of %s", all)
	case f.AllTopics && len(f.Topics) > 0:
		return operate.Usage("--topic and --all-topics exclude each other")
	case !f.AllTopics && len(f.Topics) == 0 && f.file == "":
		return operate.Usage("a scope is needed").Hint("--topic <topic>[:0,1,2], --all-topics or --from-file")
	case f.execute && f.dryRun, f.execute && f.export:
		return operate.Usage("--execute excludes --dry-run and --export")
	case f.restart && !f.execute:
		return operate.Usage("--restart is for --execute")
	}
	for _, t := range f.Topics {
		if err := checkScope(t); err != nil {
			return err
		}
	}
	return f.target(changed)
}

func (f *resetFlags) target(changed func(string) bool) error {
	switch {
	case changed("to-offset"):
		if f.offset < 0 {
			return operate.Usage("--to-offset can't be negative")
		}
		f.ToOffset = &f.offset
	case changed("shift-by"):
		f.ShiftBy = &f.shift
	case changed("to-datetime"):
		t, err := parseDatetime(f.datetime)
		if err != nil {
			return err
		}
		f.ToDatetime = &t
	case changed("by-duration"):
		d, err := parseISODuration(f.duration)
		if err != nil {
			return err
		}
		f.ByDuration = &d
	case changed("from-file"):
		b, err := os.ReadFile(f.file)
		if err != nil {
			return operate.Fail("read the offsets", err)
		}
		f.FromFile = b
	}
	return nil
}

// checkScope refuses a malformed topic:0,1,2.
func checkScope(text string) error {
	topic, list, some := strings.Cut(text, ":")
	if topic == "" {
		return operate.Usage("--topic %q has no topic", text)
	}
	if !some {
		return nil
	}
	for _, p := range strings.Split(list, ",") {
		if n, err := strconv.ParseInt(p, 10, 32); err != nil || n < 0 {
			return operate.Usage("--topic %q: %q is not a partition", text, p).Hint("topic:0,1,2")
		}
	}
	return nil
}

func (c *cli) executeReset(ctx context.Context, f resetFlags, rows []reset.Row) error {
	return replay.Execute(ctx, c.env, f.Group, rows, f.restart, func(session string) error {
		c.note("reset %s as session %s; to undo: neuronx replay offsets --group %s --from-file … with the prior offsets below (%d: none)",
			f.Group, session, f.Group, reset.NoOffset)
		for _, r := range rows {
			c.note("  %s,%d,%d", r.Topic, r.Partition, r.Prior)
		}
		return c.showRows(rows)
	})
}

// showRows prints Kafka's columns; JSON adds the prior offset.
func (c *cli) showRows(rows []reset.Row) error {
	return show(c, rows, []string{"GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"}, func(r reset.Row) []any {
		return []any{r.Group, r.Topic, r.Partition, r.NewOffset}
	})
}

// exportRows prints what --from-file reads.
func (c *cli) exportRows(rows []reset.Row) error {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	for _, r := range rows {
		_ = w.Write([]string{r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.NewOffset, 10)}) // a Buffer takes everything
	}
	w.Flush()
	_, _ = buf.WriteTo(c.out)
	return c.written()
}

// parseDatetime reads Kafka's form, where milliseconds are required, and RFC
// 3339 without them, which people write.
func parseDatetime(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04:05.000", "2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05.000Z0700", "2006-01-02T15:04:05.000Z07", time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, operate.Usage("--to-datetime %q is not a time", s).Hint("yyyy-MM-ddTHH:mm:ss.SSS, followed by Z or ±hh:mm, such as 2026-01-31T12:00:00.000Z")
}

// parseISODuration reads PnDTnHnMnS (ISO 8601), as Java's Duration does: days
// are 24 hours, seconds may have decimals.
func parseISODuration(s string) (time.Duration, error) {
	bad := operate.Usage("--by-duration %q is not a duration", s).Hint("PnDTnHnMnS, such as PT1H or P1DT12H")
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return 0, bad
	}
	days, clock, hasClock := strings.Cut(rest, "T")
	if hasClock && clock == "" {
		return 0, bad
	}
	var total float64
	take := func(part, units string, seconds map[byte]float64) bool {
		last := -1
		for part != "" {
			i := strings.IndexFunc(part, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
			if i < 1 {
				return false
			}
			n, err := strconv.ParseFloat(part[:i], 64)
			at := strings.IndexByte(units, part[i])
			if err != nil || at <= last || (strings.Contains(part[:i], ".") && part[i] != 'S') {
				return false
			}
			last = at
			total += n * seconds[part[i]]
			part = part[i+1:]
		}
		return true
	}
	if !take(days, "D", map[byte]float64{'D': 86400}) || !take(clock, "HMS", map[byte]float64{'H': 3600, 'M': 60, 'S': 1}) {
		return 0, bad
	}
	if total <= 0 || total > 100*365*86400 {
		return 0, bad
	}
	return time.Duration(total * float64(time.Second)), nil
}
