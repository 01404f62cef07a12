package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
)

func (c *cli) deadletter() *cobra.Command {
	return group("deadletter", "What the sequencer refused: list, show", c.deadletterList(), c.deadletterShow())
}

type letterRow struct {
	Ref      string    `json:"ref"` // topic/partition/offset of the refused record
	Tenant   string    `json:"tenant_id"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail"`
	ID       string    `json:"event_id"`
	Type     string    `json:"event_type"`
	Recorded time.Time `json:"recorded_at"`
	State    string    `json:"state"`
}

func (c *cli) deadletterList() *cobra.Command {
	var tenantID, reason, state string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, newest first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", state, "open", "retried", "dropped", "all"); err != nil {
				return err
			}
			if limit < 1 {
				return usage("--limit must be at least 1")
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			rows, err := pool.Query(ctx, `SELECT topic || '/' || partition || '/' || "offset", coalesce(tenant_id, ''), reason, detail, event_id, event_type, recorded_at, state
				FROM neuronx.dead_letters
				WHERE ($1 = '' OR tenant_id = $1) AND ($2 = '' OR reason = $2) AND ($3 = 'all' OR state = $3)
				ORDER BY recorded_at DESC, topic, partition, "offset" DESC LIMIT $4`, tenantID, reason, state, limit)
			if err != nil {
				return failed("list dead letters", err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[letterRow])
			if err != nil {
				return failed("list dead letters", err)
			}
			return show(c, found, []string{"REF", "TENANT", "REASON", "TYPE", "ID", "RECORDED", "STATE"}, func(r letterRow) []any {
				return []any{r.Ref, dash(r.Tenant), r.Reason, dash(r.Type), dash(r.ID), stamp(r.Recorded), r.State}
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "only this tenant's")
	fs.StringVar(&reason, "reason", "", "only this reason, such as invalid_body")
	fs.StringVar(&state, "state", "open", "open, retried, dropped or all")
	fs.IntVarP(&limit, "limit", "n", defaultLimit, "at most so many")
	return cmd
}

type letterView struct {
	letterRow
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Value   string            `json:"value_base64"`
	Bytes   int               `json:"value_bytes"`
}

func (c *cli) deadletterShow() *cobra.Command {
	return &cobra.Command{
		Use: "show <topic/partition/offset>", Short: "Show one dead letter with what was received", Args: args("topic/partition/offset"),
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, partition, offset, err := parseRef(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			var v letterView
			var key, headers, value []byte
			err = pool.QueryRow(ctx, `SELECT coalesce(tenant_id, ''), reason, detail, event_id, event_type, recorded_at, state, key, headers, value
				FROM neuronx.dead_letters WHERE topic = $1 AND partition = $2 AND "offset" = $3`, topic, partition, offset).
				Scan(&v.Tenant, &v.Reason, &v.Detail, &v.ID, &v.Type, &v.Recorded, &v.State, &key, &headers, &value)
			if errors.Is(err, pgx.ErrNoRows) {
				return failed("show the dead letter", event.Refuse(event.CodeNotFound, "there is no dead letter %s", args[0]).Hint("neuronx deadletter list --state all"))
			}
			if err != nil {
				return failed("show the dead letter", err)
			}
			hs, err := archive.DecodeHeaders(headers)
			if err != nil {
				return failed("read the headers", err)
			}
			v.Ref, v.Key, v.Value, v.Bytes = args[0], printableText(key), base64.StdEncoding.EncodeToString(value), len(value)
			v.Headers = map[string]string{}
			for _, h := range hs {
				v.Headers[printableText([]byte(h.Key))] = printableText(h.Value)
			}
			return c.json(v)
		},
	}
}

func parseRef(ref string) (topic string, partition int32, offset int64, err error) {
	parts := strings.Split(ref, "/")
	if len(parts) == 3 && parts[0] != "" {
		p, perr := strconv.ParseInt(parts[1], 10, 32)
		o, oerr := strconv.ParseInt(parts[2], 10, 64)
		if perr == nil && oerr == nil && p >= 0 && o >= 0 {
			return parts[0], int32(p), o, nil
		}
	}
	return "", 0, 0, usage("%q is not topic/partition/offset", ref).next("as `neuronx deadletter list` shows it, such as neuronx.ingress/0/17")
}

// printableText shows bytes from outside without letting them drive a terminal.
func printableText(b []byte) string {
	if utf8.Valid(b) {
		clean := true
		for _, r := range string(b) {
			if r < 0x20 || r == 0x7f {
				clean = false
				break
			}
		}
		if clean {
			return string(b)
		}
	}
	return fmt.Sprintf("%q", b)
}
