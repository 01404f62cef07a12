package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/safetext"
)

var errEnough = errors.New("enough")

// tailFlags choose what tail shows, and when it ends.
type tailFlags struct {
	tenant, typ, subject string
	fromStart, untilEnd  bool
	limit                int
}

func (c *cli) eventsTail() *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow the log", Args: noArgs,
		Long: `Follow the log from its end on, until Ctrl-C. --limit ends it after so many events, --timeout after so long (without the flag it has
no end), --until-end at the end that the log has now: that begins with the oldest event, partition by partition.`,
		Example: "  neuronx events tail --tenant acme\n  neuronx events tail --until-end --tenant acme -o json\n  neuronx events tail --timeout 10s --limit 1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.limit < 0 {
				return usage("--limit can't be negative")
			}
			cfg, err := c.kafka()
			if err != nil {
				return err
			}
			look, cancel := c.bounded(cmd)
			defer cancel()
			if f.tenant != "" {
				if err := c.checkTenant(look, f.tenant); err != nil {
					return err
				}
			}
			if err := c.checkType(look, f.typ); err != nil {
				return err
			}
			ctx, cancel := cmd.Context(), func() {}
			if cmd.Flags().Changed("timeout") {
				ctx, cancel = context.WithTimeout(ctx, c.timeout)
			}
			defer cancel()
			seen, err := c.tail(ctx, cfg, f)
			switch {
			case err != nil && !errors.Is(err, errEnough) && ctx.Err() == nil:
				return failed("follow the log", err)
			case f.untilEnd && ctx.Err() != nil && cmd.Context().Err() == nil:
				return partial("the end of the log was not reached within %s", c.timeout).next("raise --timeout")
			case seen == 0:
				c.note("none%s", c.lookedFor())
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.typ, "type", "", "only this type")
	fs.StringVar(&f.subject, "subject", "", "only about this, such as lead/42")
	fs.BoolVar(&f.fromStart, "from-start", false, "begin with the oldest event instead of the next")
	fs.BoolVar(&f.untilEnd, "until-end", false, "begin with the oldest event, and end where the log ends now")
	fs.IntVarP(&f.limit, "limit", "n", 0, "stop after so many; 0: never")
	return cmd
}

// tail shows events until ctx is done, or one of the flags ends it. It returns how many it showed.
func (c *cli) tail(ctx context.Context, cfg kafka.Config, f tailFlags) (seen int, err error) {
	reg, err := c.registry()
	if notRunning(err) {
		c.note("the registry does not answer: events are shown without their data")
	} else if err != nil {
		return 0, err
	}
	show := func(r *kafka.Record) error {
		if f.tenant != "" && string(r.Key) != f.tenant {
			return nil
		}
		rec, err := kafka.ParseRecorded(r)
		if err != nil {
			c.note("%s partition %d offset %d can't be read: %v", r.Topic, r.Partition, r.Offset, err)
			return nil
		}
		if f.typ != "" && rec.Type != f.typ || f.subject != "" && rec.Subject != f.subject {
			return nil
		}
		if err := c.showTail(view(ctx, reg, rec)); err != nil {
			return err
		}
		if seen++; seen == f.limit {
			return errEnough
		}
		return nil
	}
	if !f.untilEnd {
		err := read.Follow(ctx, cfg, kafka.TopicEvents, f.fromStart, show)
		return seen, err
	}
	adm, err := c.admin()
	if err != nil {
		return 0, err
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		return 0, err
	}
	starts, err := adm.StartOffsets(ctx, kafka.TopicEvents)
	if err != nil {
		return 0, err
	}
	for p := range int32(len(ends)) { //nolint:gosec // partitions are an int32
		tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p}
		if f.tenant != "" && p != kafka.PartitionFor([]byte(f.tenant), int32(len(ends))) || starts[tp] >= ends[tp] { //nolint:gosec // as above
			continue
		}
		if err := read.Range(ctx, cfg, kafka.TopicEvents, p, starts[tp], ends[tp], show); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// showTail writes one event a line; a table can't know its widths in advance.
func (c *cli) showTail(v eventView) error {
	if c.format == formatJSON {
		return c.line(v)
	}
	data := string(v.Data)
	if v.DataError != "" {
		data = "(" + v.DataError + ")"
	}
	if width := c.columns(); width > 0 {
		line := []string{v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data}
		for i := range line {
			line[i] = safetext.Text(line[i])
		}
		printf(c.out, "%s\n", cut(strings.Join(line, " "), width))
		return nil
	}
	printf(c.out, "%s  %-12s %6s  %-28s %-24s %s\n", v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data)
	return nil
}
