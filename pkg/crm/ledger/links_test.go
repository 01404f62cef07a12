package ledger_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
}

func TestMigrations_OldLinksKeepTheirContactUnlessTwoLeadsHadIt(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, admin := context.Background(), db.Pool(t, "")
	file, err := os.ReadFile("migrations/00002_links.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(file), "-- +goose Down")
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(down)
	exec(`INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES ('acme', 'gohighlevel', 'loc', 'secret://a@1', 'send', 1)`)
	exec(`INSERT INTO neuronx.crm_ids (tenant_id, adapter, local_id, remote_id) VALUES ('acme', 'gohighlevel', 'l1', 'c1'), ('acme', 'gohighlevel', 'ann', 'c2'),
		('acme', 'gohighlevel', 'bob', 'c2'), ('other', 'gohighlevel', 'l1', 'c1')`)
	exec(`INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
		VALUES ('gohighlevel', 'acme', 'e1', 'e1', 1, 'crm.contact.upsert', 'repeatable', 'lead/l1', 'done', '{"lead_id":"l1","email":"old@b.co","phone":"+1555"}', '{}', 0, 1),
			('gohighlevel', 'acme', 'e2', 'e2', 2, 'crm.contact.upsert', 'repeatable', 'lead/l1', 'done', '{"lead_id":"l1","email":"new@b.co"}', '{}', 0, 2),
			('gohighlevel', 'acme', 'e3', 'e3', 3, 'crm.contact.upsert', 'repeatable', 'lead/l1', 'failed', '{"lead_id":"l1","email":"never@b.co"}', '{}', 0, 3)`)
	exec(up)
	pool := db.Pool(t, "neuronx_gohighlevel")
	got, err := book.Links(ctx, pool, "acme", "loc", []string{"l1", "ann", "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if l := got["l1"]; l.Contact != "c1" || l.Keys != (crm.Keys{Email: "new@b.co", Phone: "+1555"}) || len(l.Known) != 0 {
		t.Errorf("%+v", l)
	}
	if got["ann"].Contact != "" || got["bob"].Contact != "" {
		t.Errorf("one contact is still that of two leads: %+v", got)
	}
	if elsewhere, err := book.Links(ctx, pool, "acme", "other", []string{"l1"}); err != nil || elsewhere["l1"].Contact != "" || elsewhere["l1"].Keys.Email != "new@b.co" {
		t.Errorf("%+v %v", elsewhere, err)
	}
	if unknown, err := book.Links(ctx, pool, "other", "loc", []string{"l1"}); err != nil || unknown["l1"].Contact != "" {
		t.Errorf("a link of no known location is used: %+v %v", unknown, err)
	}
	if owner, err := book.SaveLink(ctx, pool, "acme", "loc", "bob", "c1"); err != nil || owner != "l1" {
		t.Errorf("bob got the contact of %q, %v", owner, err)
	}
	if _, err := pool.Exec(ctx, `UPDATE neuronx.crm_ids SET remote_id = 'c1' WHERE tenant_id = 'acme' AND local_id = 'bob'`); err == nil {
		t.Error("the table takes one contact for two leads")
	}
}

func TestLearn_KeepsNothingOfAWriteThatAnotherOvertook(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, pool := context.Background(), db.Pool(t, "neuronx_gohighlevel")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := book.SaveLink(ctx, pool, "acme", "loc", "l1", "c1")
	must(err)
	first, err := book.Forget(ctx, pool, "acme", "loc", "l1", "firstName")
	must(err)
	second, err := book.Forget(ctx, pool, "acme", "loc", "l1", "firstName")
	must(err)
	must(book.Learn(ctx, pool, "acme", "loc", "l1", second, map[string]string{"firstName": "Bea"}))
	must(book.Learn(ctx, pool, "acme", "loc", "l1", first, map[string]string{"firstName": "Ann"}))
	got, err := book.Links(ctx, pool, "acme", "loc", []string{"l1"})
	must(err)
	if got["l1"].Known["firstName"] != "Bea" {
		t.Fatalf("%+v", got)
	}
	// The lead's own address and number stay when a write does not name them: other leads are told apart by them.
	third, err := book.Forget(ctx, pool, "acme", "loc", "l1", "email")
	must(err)
	must(book.Learn(ctx, pool, "acme", "loc", "l1", third, map[string]string{"email": "bea@example.com"}))
	must(book.Learn(ctx, pool, "acme", "loc", "l1", third, map[string]string{"phone": "+15550100"}))
	var email, phone string
	must(pool.QueryRow(ctx, `SELECT email, phone FROM neuronx.crm_ids WHERE local_id = 'l1'`).Scan(&email, &phone))
	if email != "bea@example.com" || phone != "+15550100" {
		t.Errorf("the lead has %q and %q", email, phone)
	}
}
