package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// folded takes an event in as the workflows of the rules service do.
func folded(ctx context.Context, db *pgxpool.Pool, in workflows.Input) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		batch := workflowstore.New(tx, 1)
		if _, err := workflows.New(in.Event.TenantID, batch.Tenant(in.Event.TenantID), nil, nil).Apply(ctx, in); err != nil {
			return err
		}
		return batch.Save(ctx, tx)
	})
}

// A merge shows what both have and is published only with a reason and --execute; the verb tells what the rules service made of it.
func TestSubjects_AreMergedAndParted(t *testing.T) {
	book := ledger.Ledger{Adapter: "gohighlevel"}
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.tenant_events SELECT (jsonb_populate_record(e, jsonb_build_object('sequence', 100 + n, 'position', 100 + n, 'event_id', 'more' || n,
		'subject', 'lead/' || n, 'log_offset', 1000 + n))).* FROM neuronx.tenant_events e, generate_series(2, 3) n WHERE e.tenant_id = 'acme' AND e.sequence = 5`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lead    string
		granted bool
	}{{"1", false}, {"2", true}} {
		r := event.Recorded{Event: event.Event{TenantID: "acme", ID: "c" + c.lead, Type: "consent.changed", Subject: "lead/" + c.lead, Time: time.Unix(1, 0)}, Sequence: 5, RecordedTime: time.Unix(2, 0)}
		if err := folded(t.Context(), e.Root, workflows.Input{Event: r, Data: map[string]any{"lead_id": c.lead, "channel": "sms", "granted": c.granted}}); err != nil {
			t.Fatal(err)
		}
	}
	err := pgx.BeginFunc(t.Context(), e.Root, func(tx pgx.Tx) error {
		batch := workflowstore.New(tx, 1)
		batch.Tenant("acme").PutClaim("sales", "1", pool.Claim{Member: "ann", Of: "lead/1"})
		return batch.Save(t.Context(), tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	// What the adapter has of the first of two that are merged: a contact, to which fields of the second were written.
	if _, err := book.SaveLink(t.Context(), e.Root, "acme", "loc", "1", "crm77"); err != nil {
		t.Fatal(err)
	}
	if code, err := book.Merge(t.Context(), e.Root, "acme", "lead/1", "lead/2", 7); err != nil || code != "" {
		t.Fatal(code, err)
	}
	if err := book.Used(t.Context(), e.Root, "acme", "loc", "crm77", "2"); err != nil {
		t.Fatal(err)
	}
	env, published := admit(t, e)
	env["COLUMNS"] = "200"
	for _, x := range []struct {
		line string
		code int
		want []string
		said string // how what was published begins; empty: nothing was
	}{
		{"subjects merge lead/1 lead/2 --tenant acme", exitOK, []string{"lead/1 - sales: ann - sms 0", "lead/2 - - sms - 0", "would merge lead/1 into lead/2 of acme", "dry run"}, ""},
		{"subjects merge lead/1 lead/2 --tenant acme -o json", exitOK, []string{`"revoked": [ "sms" ]`, `"granted": [ "sms" ]`, `"pool": "sales"`}, ""},
		{"subjects merge lead/1 lead/2 --tenant acme --execute", exitUsage, []string{"--reason is required"}, ""},
		{"subjects merge lead/1 lead/1 --tenant acme", exitFailed, []string{"they are one already"}, ""},
		{"subjects merge lead/1 tenant/acme --tenant acme", exitFailed, []string{"they are of two kinds"}, ""},
		{"subjects merge lead/1 lead/22 --tenant acme --reason r --execute", exitFailed, []string{"nothing about lead/22"}, ""},
		{"subjects merge 1 lead/2 --tenant acme", exitUsage, []string{`"1" is not a subject`}, ""},
		{"subjects unmerge lead/1 lead/2 --tenant acme --reason r --execute", exitFailed, []string{"the first was not merged"}, ""},
		{"subjects merge lead/1 lead/2 --tenant acme --reason same --by ada --execute", exitOK, []string{"lead/1 is merged into lead/2 (sequence 7)", "would not take apart: the revocation of sms stays with both",
			"the claim in the pool sales stays with the second"}, `subject.merged lead/1 /neuronx/cli {"from":"lead/1","into":"lead/2","by":"ada","reason":"same"}`},
		{"subjects merge lead/2 lead/1 --tenant acme --reason r --execute", exitFailed, []string{"would be a circle"}, ""},
		{"subjects merge lead/1 lead/3 --tenant acme", exitFailed, []string{"merged into another subject before"}, ""},
		{"subjects merge lead/3 lead/1 --tenant acme", exitOK, []string{"lead/2 - sales: ann - sms 0"}, ""},
		{"subjects unmerge lead/1 lead/3 --tenant acme", exitFailed, []string{"merged into another subject than that"}, ""},
		{"subjects unmerge lead/1 lead/2 --tenant acme", exitOK, []string{"stays as the merge left it: the revocation of sms", "stays as the merge left it: contact crm77 was that of lead 1 and stays with lead/2", "would unmerge lead/1 from lead/2", "dry run", "what came about lead/1 after the merge (sequence 7) is in the row of the second in read.leads"}, ""},
		{"subjects unmerge lead/1 lead/2 --tenant acme --reason two --execute", exitOK, []string{"lead/1 is no longer merged into lead/2 (sequence 8)", "stays as the merge left it: the revocation of sms", "contact crm77"},
			`subject.unmerged lead/1 /neuronx/cli {"from":"lead/1","into":"lead/2","by":null,"reason":"two"}`},
		{"subjects merge lead/1 lead/2 --tenant acme", exitOK, []string{"would merge"}, ""},
	} {
		before := len(published())
		code, out, errs := try(t, env, strings.Fields(x.line)...)
		text, said := strings.Join(strings.Fields(out+errs), " "), published()[before:]
		for _, w := range x.want {
			if code != x.code || !strings.Contains(text, w) {
				t.Errorf("%s: exit %d, want %d with %q\n%s%s", x.line, code, x.code, w, out, errs)
			}
		}
		if x.said == "" && len(said) > 0 || x.said != "" && (len(said) != 1 || !strings.HasPrefix(said[0], x.said)) {
			t.Errorf("%s: published %q, want %s", x.line, said, x.said)
		}
	}
}
