package effects

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) merged(from, into string) event.Recorded {
	return r.event(tenant, alias.TypeMerged, from, map[string]any{"from": from, "into": into})
}

func (r *rig) unmerged(from, into string) event.Recorded {
	return r.event(tenant, alias.TypeUnmerged, from, map[string]any{"from": from, "into": into})
}

// told is the outcome of a command in the log, as the sender and the sequencer bring it there.
func (r *rig) told(command event.Recorded) event.Recorded {
	r.t.Helper()
	e := r.get(command.ID)
	var number int64
	err := r.pool.QueryRow(r.t.Context(), `SELECT number FROM neuronx.outbox WHERE event_id = $1`, outcomeID(gohighlevel.Name, tenant, e.ID, 0)).Scan(&number)
	if err != nil {
		r.t.Fatalf("the outcome of %s: %v", e.ID, err)
	}
	return r.outcome(e.Kind+".succeeded", number, e.ID, e.Command.LeadID, e.RemoteID)
}

// contacts is whose contact of acme's location each lead has.
func (r *rig) contacts(leads ...string) (ids []string) {
	r.t.Helper()
	links, err := book.Links(r.t.Context(), r.pool, tenant, "loc-acme", leads)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, lead := range leads {
		ids = append(ids, links[lead].Contact)
	}
	return ids
}

func (r *rig) contact(id string) *standin.Contact {
	for _, c := range r.crm.Contacts("loc-acme") {
		if c.ID == id {
			return c
		}
	}
	r.t.Fatalf("the CRM has no contact %s", id)
	return nil
}

func notes(c *standin.Contact) string {
	var out []string
	for _, n := range c.Notes {
		out = append(out, n.Body)
	}
	return strings.Join(out, ",")
}

// carryOut works until each command is done.
func (r *rig) carryOut(commands ...event.Recorded) {
	r.t.Helper()
	stop := r.run(r.worker())
	defer stop()
	for _, c := range commands {
		r.waitStatus(c.ID, crm.Done)
	}
}

func TestMerge_PendingCommandsOfTheFirstGoToTheContactOfTheSecond(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	seven, nine := r.upsert("7"), r.upsert("9")
	r.apply(seven, nine)
	r.carryOut(seven, nine)
	ids := r.contacts("7", "9")

	note, tag, name := r.note("7", "before"), r.tag("7", "hot"), r.change("7", map[string]any{"last_name": "Smith"})
	r.apply(note, tag, name, r.merged("lead/7", "lead/9"))
	later := r.note("7", "later") // of a producer, or of rules that do not go by merges
	r.apply(later)
	r.carryOut(note, tag, name, later)
	first, second := r.contact(ids[0]), r.contact(ids[1])
	if notes(second) != "before,later" || !slices.Equal(second.Tags, []string{"hot"}) || second.Fields["lastName"] != "Smith" || second.Fields["email"] != "9@example.com" {
		t.Errorf("the contact of lead 9: %+v", second)
	}
	if len(first.Notes) > 0 || len(first.Tags) > 0 || first.Fields["lastName"] != "" || first.Fields["email"] != "7@example.com" {
		t.Errorf("the contact of lead 7: %+v", first)
	}
	if n := len(r.crm.Contacts("loc-acme")); n != 2 || !slices.Equal(r.contacts("7", "9"), ids) {
		t.Errorf("%d contacts; the links are %v, were %v", n, r.contacts("7", "9"), ids)
	}
	if detail := r.attemptDetail(tag.ID); !strings.Contains(detail, "contact of lead 9") {
		t.Errorf("the attempt does not say where it went: %q", detail)
	}

	r.apply(r.unmerged("lead/7", "lead/9"))
	after, of9 := r.note("7", "after"), r.note("9", "own")
	r.apply(after, of9)
	r.carryOut(after, of9)
	if first, second := r.contact(ids[0]), r.contact(ids[1]); notes(first) != "after" || notes(second) != "before,later,own" {
		t.Errorf("after the unmerge: lead 7 %q, lead 9 %q", notes(first), notes(second))
	}
}

func TestMerge_TheContactOfTheFirstServesBothAndStaysWhereItWasWrittenTo(t *testing.T) {
	for name, c := range map[string]struct {
		write, late bool // a command about the second is written to the contact; the log is told of it after the unmerge
		keeps       string
	}{
		"nothing was written for the second":    {keeps: "7"},
		"the second was written to it":          {write: true, keeps: "9"},
		"the log learns of that after the part": {write: true, late: true, keeps: "7"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigWithLag(t, 0)
			r.connect(tenant, "send")
			seven := r.upsert("7")
			r.apply(seven)
			r.carryOut(seven)
			r.apply(r.told(seven))
			contact := r.contacts("7")[0]
			note, tag := r.note("9", "about 9"), r.tag("7", "hot")
			r.apply(r.merged("lead/7", "lead/9"), note, tag)
			r.carryOut(note, tag)
			var up event.Recorded
			if c.write {
				up = r.change("9", map[string]any{"email": "new@example.com", "last_name": "Smith"})
				r.apply(up)
				r.carryOut(up)
				if got := r.get(up.ID).RemoteID; got != contact {
					t.Fatalf("written to %s, want %s", got, contact)
				}
			}
			unmerged := r.unmerged("lead/7", "lead/9")
			switch {
			case c.late:
				told := r.told(up)
				r.apply(unmerged, r.merged("lead/a", "lead/b"), told)
			case c.write:
				told := r.told(up)
				r.apply(told, told) // delivered again, it changes nothing
				lines, err := book.Remains(t.Context(), r.pool, tenant, "lead/7", "lead/9")
				if err != nil || len(lines) != 1 || !strings.Contains(lines[0], contact) || !strings.Contains(lines[0], "stays with lead/9") {
					t.Errorf("told before the unmerge: %q, %v", lines, err)
				}
				r.apply(unmerged)
			default:
				r.apply(unmerged)
			}
			if c := r.contact(contact); len(r.crm.Contacts("loc-acme")) != 1 || notes(c) != "about 9" || !slices.Equal(c.Tags, []string{"hot"}) {
				t.Errorf("%+v", c)
			}
			other := map[string]string{"7": "9", "9": "7"}[c.keeps]
			if got := r.contacts(c.keeps, other); got[0] != contact || got[1] != "" {
				t.Fatalf("lead %s has contact %q and lead %s %q; want %q with the first", c.keeps, got[0], other, got[1], contact)
			}
			if c.late { // what came after the merge is no part of the next one
				r.apply(r.merged("lead/7", "lead/9"), r.unmerged("lead/7", "lead/9"))
				if got := r.contacts("7", "9"); got[0] != contact || got[1] != "" {
					t.Errorf("after another merge the links are %v", got)
				}
			}
			own := r.tag(c.keeps, "own")
			r.apply(own)
			r.carryOut(own)
			if got := r.contact(contact).Tags; !slices.Contains(got, "own") {
				t.Errorf("the tag of lead %s is not at its contact: %v", c.keeps, got)
			}
			if n := len(r.crm.Contacts("loc-acme")); n != 1 {
				t.Errorf("%d contacts", n)
			}
		})
	}
}

func TestUnmerge_TellsOnlyOfTheMergeThatItTakesBack(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	ctx, merged, unmerged := t.Context(), r.merged("lead/7", "lead/9"), r.unmerged("lead/7", "lead/9")
	remains := func() []string {
		t.Helper()
		lines, err := book.Remains(ctx, r.pool, tenant, "lead/7", "lead/9")
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if _, err := book.SaveLink(ctx, r.pool, tenant, "loc-acme", "7", "c7"); err != nil {
		t.Fatal(err)
	}
	if got := remains(); len(got) != 0 {
		t.Errorf("two who were not merged: %q", got)
	}
	r.apply(merged)
	if err := book.Used(ctx, r.pool, tenant, "loc-acme", "c7", "9"); err != nil {
		t.Fatal(err)
	}
	if _, err := book.SaveLink(ctx, r.pool, tenant, "loc-acme", "9", "c9"); err != nil { // as a person resolves it
		t.Fatal(err)
	}
	if err := book.Used(ctx, r.pool, tenant, "loc-acme", "c9", "7"); err != nil {
		t.Fatal(err)
	}
	if got := remains(); len(got) != 2 || !strings.Contains(got[0], "contact c7 of lead 7 for lead 9 stays there") || !strings.Contains(got[1], "contact c9 of lead 9 for lead 7 stays there") {
		t.Errorf("%q", got)
	}
	r.apply(unmerged)
	if got := r.contacts("7", "9"); !slices.Equal(got, []string{"c7", "c9"}) {
		t.Errorf("the links are %v", got)
	}
	r.apply(merged)
	if got := remains(); len(got) != 0 {
		t.Errorf("of a merge by which nothing was written: %q", got)
	}
}

// TestMerge_OfContactsInTheCRMToo: a person merges the two contacts there, and the one of the lead that stays is gone.
func TestMerge_OfContactsInTheCRMToo(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	seven, nine := r.upsert("7"), r.upsert("9")
	r.apply(seven, nine)
	r.carryOut(seven, nine)
	ids := r.contacts("7", "9")
	r.apply(r.merged("lead/7", "lead/9"))
	r.delete(ids[1])
	r.person("PUT", "/contacts/"+ids[0], `{"email":"9@example.com"}`)
	note, name := r.note("9", "hello"), r.change("9", map[string]any{"last_name": "Smith"})
	r.apply(note, name)
	r.carryOut(note, name)
	if c := r.contact(ids[0]); notes(c) != "hello" || c.Fields["lastName"] != "Smith" {
		t.Errorf("%+v", c)
	}
	if got := r.contacts("7", "9"); got[0] != ids[0] || got[1] != "" {
		t.Errorf("the links are %v; want the contact with lead 7, whose it was, and none with lead 9, whose is gone", got)
	}
}

func (r *rig) aliases(ten string, subjects ...string) string {
	r.t.Helper()
	edges, err := book.Aliases(r.t.Context(), r.pool, ten, subjects...)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(edges)
}

func TestMerge_ThatCantBeChangesNothing(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	for i := range alias.MaxChain {
		r.apply(r.merged(fmt.Sprint("lead/c", i), fmt.Sprint("lead/c", i+1)))
	}
	tag := r.tag("7", "hot")
	r.apply(tag, r.merged("lead/7", "lead/9"))
	end := fmt.Sprint("lead/c", alias.MaxChain)
	all := []string{"lead/7", "lead/c0", "lead/11", "lead/x", "opportunity/9"}
	before := r.aliases(tenant, all...)
	if n := strings.Count(before, "lead/c"); n != 2*alias.MaxChain {
		t.Fatalf("%d ends of merges: %s", n, before)
	}
	for name, e := range map[string]event.Recorded{
		"a circle":             r.merged("lead/9", "lead/7"),
		"a second target":      r.merged("lead/7", "lead/11"),
		"the same again":       r.merged("lead/7", "lead/9"),
		"itself":               r.merged("lead/11", "lead/11"),
		"two kinds":            r.merged("lead/11", "opportunity/9"),
		"no subject":           r.merged("11", "lead/9"),
		"nothing":              r.merged("", ""),
		"a longer chain":       r.merged(end, "lead/x"),
		"what is no merge":     r.unmerged("lead/11", "lead/9"),
		"of another target":    r.unmerged("lead/7", "lead/11"),
		"the other way round":  r.unmerged("lead/9", "lead/7"),
		"a control character":  r.merged("lead/\x01", "lead/9"),
		"of no subject at all": r.unmerged("\x01", "lead/9"),
	} {
		r.apply(e)
		if now := r.aliases(tenant, all...); now != before {
			t.Errorf("%s changed the merges to\n%s, were\n%s", name, now, before)
		}
		if e := r.get(tag.ID); e.Lane != "lead/9" {
			t.Errorf("%s moved an effect to the lane %q", name, e.Lane)
		}
	}
}

// due lists the commands that may be sent now.
func (r *rig) due() (ids []string) {
	r.t.Helper()
	err := pgx.BeginFunc(r.t.Context(), r.pool, func(tx pgx.Tx) error {
		effects, _, err := book.Due(r.t.Context(), tx, tenant, 10, 0)
		for _, e := range effects {
			ids = append(ids, e.ID)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func TestMerge_HoldsForTheNextCommandOfTheSameBatch(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	before, after := r.tag("7", "a"), r.tag("7", "b")
	run := consumer.Run{TenantID: tenant, Generation: 1, Events: []event.Recorded{before, r.merged("lead/7", "lead/9"), after}}
	if err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error { return r.h.Apply(t.Context(), tx, run) }); err != nil {
		t.Fatal(err)
	}
	for _, e := range run.Events {
		if e.Type != alias.TypeMerged && r.get(e.ID).Lane != "lead/9" {
			t.Errorf("%s waits in the lane %q", e.ID, r.get(e.ID).Lane)
		}
	}
}

func TestMerge_EffectsOfBothAreSentOneAfterTheOther(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	a, b := r.tag("7", "a"), r.tag("9", "b")
	r.apply(a, b)
	want := func(when string, commands ...event.Recorded) {
		t.Helper()
		var ids []string
		for _, c := range commands {
			ids = append(ids, c.ID)
		}
		if got := r.due(); !slices.Equal(got, ids) {
			t.Errorf("%s: due are %v, want %v", when, got, ids)
		}
	}
	want("before", a, b)
	r.apply(r.merged("lead/7", "lead/9"))
	want("merged", a)
	x := r.tag("7", "x")
	r.apply(x)
	want("asked for of the first once it is merged", a)
	r.resolve(x.ID, "failed")
	r.apply(r.unmerged("lead/7", "lead/9"))
	want("parted", a, b)
	r.apply(r.merged("lead/7", "lead/9"), r.merged("lead/9", "lead/5"))
	c := r.tag("5", "c")
	r.apply(c)
	want("merged into a third", a)
	r.resolve(a.ID, "failed")
	want("the first is over", b)
	r.apply(r.unmerged("lead/9", "lead/5"))
	want("the third parted", b, c)
	r.resolve(a.ID, "resend")
	want("the first is sent again, in the lane of now", a, c)
}

// TestMerge_AnyHistoryDerivesTheSameHoweverItIsCut folds one history event by event for a tenant, and in batches of which some fail for another.
func TestMerge_AnyHistoryDerivesTheSameHoweverItIsCut(t *testing.T) {
	r := newRig(t)
	const leads, length = 7, 160
	rnd := rand.New(rand.NewPCG(7, 9))
	lead := func() string { return fmt.Sprint(rnd.IntN(leads)) }
	tenants := []string{"acme", "zeta"}
	logs := map[string][]event.Recorded{}
	for _, ten := range tenants {
		logs[ten] = append(logs[ten], r.event(ten, "tenant.crm_connected", "tenant/"+ten, map[string]any{"adapter": "gohighlevel", "location": "loc-" + ten, "token": "secret://ghl-" + ten + "@1", "mode": "send"}))
	}
	both := func(typ, subject string, data map[string]any, more func(*event.Recorded, string)) {
		for _, ten := range tenants {
			e := r.event(ten, typ, subject, data)
			if more != nil {
				more(&e, ten)
			}
			logs[ten] = append(logs[ten], e)
		}
	}
	var model alias.Aliases
	for i := range length {
		from, into := "lead/"+lead(), "lead/"+lead()
		switch rnd.IntN(6) {
		case 0, 1:
			if next, code := model.Merge(from, into, 1); code == "" {
				model = next
			}
			both(alias.TypeMerged, from, map[string]any{"from": from, "into": into}, nil)
		case 2:
			if e, merged := model[from]; merged {
				into = e.Into
			}
			if next, _, code := model.Unmerge(from, into); code == "" {
				model = next
			}
			both(alias.TypeUnmerged, from, map[string]any{"from": from, "into": into}, nil)
		case 3:
			both("crm.contact.upsert.requested", from, map[string]any{"lead_id": from[5:], "last_name": "Smith"}, nil)
		default:
			id, contact := fmt.Sprint("command-", i), fmt.Sprint("c", rnd.IntN(4))
			both("crm.contact.upsert.succeeded", from, map[string]any{"command_id": id, "lead_id": from[5:], "adapter": "gohighlevel", "remote_id": contact}, func(e *event.Recorded, ten string) {
				e.ID, e.Deriver, e.DeriverNumber = outcomeID(gohighlevel.Name, ten, id, 0), gohighlevel.Name, int64(i+1)
			})
		}
	}
	for _, e := range logs["acme"] {
		r.apply(e)
	}
	for rest := logs["zeta"]; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(30))
		run := consumer.Run{TenantID: "zeta", Generation: 1, Events: rest[:n]}
		err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
			if err := r.h.Apply(t.Context(), tx, run); err != nil {
				t.Fatal(err)
			}
			if rnd.IntN(3) == 0 {
				n = 0
				return pgx.ErrTxCommitRollback
			}
			return nil
		})
		if err != nil && n > 0 {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	state := func(ten string) (out string) {
		for _, query := range []string{`SELECT concat_ws(' ', subject, merged_into, sequence) FROM neuronx.crm_aliases WHERE tenant_id = $1 ORDER BY subject`,
			`SELECT concat_ws(' ', local_id, remote_id, used_by::text) FROM neuronx.crm_ids WHERE tenant_id = $1 ORDER BY local_id`,
			`SELECT concat_ws(' ', command_sequence, subject, status, lane) FROM neuronx.effects WHERE tenant_id = $1 AND command_sequence > 0 ORDER BY command_sequence`} {
			rows, err := r.pool.Query(t.Context(), query, ten)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			out += strings.Join(lines, "\n") + "\n\n"
		}
		return out
	}
	got := state("acme")
	if other := state("zeta"); got != other {
		t.Fatalf("event by event:\n%s\nin batches:\n%s", got, other)
	}
	for i := range leads {
		s := fmt.Sprint("lead/", i)
		if lane, err := book.Lane(t.Context(), r.pool, tenant, s); err != nil || lane != model.Resolve(s) {
			t.Errorf("%s is %s (%v), want %s", s, lane, err, model.Resolve(s))
		}
	}
	effects, err := ledger.List(t.Context(), r.pool, ledger.Filter{Tenant: tenant, Statuses: []crm.Status{crm.Pending}, Limit: length})
	if err != nil || len(effects) < 10 {
		t.Fatalf("%d commands, %v", len(effects), err)
	}
	for _, e := range effects {
		if lane := e.Lane; lane != model.Resolve(e.Subject) && (lane != "" || model.Resolve(e.Subject) != e.Subject) {
			t.Errorf("an effect of %s waits in the lane %q, want %s", e.Subject, lane, model.Resolve(e.Subject))
		}
	}
	if len(model) == 0 || !strings.Contains(got, "{}") || strings.Count(got, "}") == strings.Count(got, "{}") {
		t.Errorf("the history shows little: %d merges stand\n%s", len(model), got)
	}

	// A log that was rebuilt is folded again: who is one, and which effects wait for which, is as before.
	err = pgx.BeginFunc(t.Context(), r.db.Pool(t, ""), func(tx pgx.Tx) error {
		return Refold(t.Context(), tx, book, tenant, int64(len(logs[tenant])), kept(logs[tenant]), consumer.NewDecoder(r.cat))
	})
	again := state("acme")
	for _, s := range []string{"lead/0", "lead/1", "lead/2", "lead/3", "lead/4", "lead/5", "lead/6"} { // a subject's own name as its lane is as good as none
		got, again = strings.ReplaceAll(got, s+" pending "+s, s+" pending"), strings.ReplaceAll(again, s+" pending "+s, s+" pending")
	}
	if err != nil || again != got {
		t.Errorf("folded again, %v:\n%s\nwas:\n%s", err, again, got)
	}
}
