package deadletters

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

func TestUndone_TellsOneLetterAndCountsMany(t *testing.T) {
	done, again := Outcome{Result: deadletter.Resolved}, Outcome{Result: deadletter.RefusedAgain, Code: event.CodeInvalidBody, Detail: "as x: no", Next: "neuronx.ingress/0/9"}
	for name, x := range map[string]struct {
		out        []Outcome
		kind       operate.Kind // 0: no error
		says, next string
	}{
		"none":         {nil, 0, "", ""},
		"all done":     {[]Outcome{done, {Result: deadletter.Dropped}}, 0, "", ""},
		"one refused":  {[]Outcome{{Result: "refused", Code: event.CodeNotRetriable, Detail: "why"}}, operate.KindFailed, "the dead letter is refused: why", ""},
		"one again":    {[]Outcome{again}, operate.KindFailed, "the dead letter is refused_again: as x: no", "neuronx deadletter show neuronx.ingress/0/9"},
		"one of two":   {[]Outcome{done, again}, operate.KindPartial, "1 of 2 were not done", ""},
		"both of two":  {[]Outcome{again, again}, operate.KindPartial, "2 of 2 were not done", ""},
		"not seen yet": {[]Outcome{{Result: deadletter.Retried}}, operate.KindFailed, "the dead letter is retried", ""},
	} {
		var e *operate.Error
		switch err := Undone(x.out); {
		case x.kind == 0 && err != nil, x.kind != 0 && !errors.As(err, &e):
			t.Errorf("%s: %v", name, err)
		case x.kind != 0 && (e.Kind != x.kind || e.Error() != x.says || e.Next != x.next):
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// An archiver of the test's own answers what Act asks for.
func TestAct_ReturnsWhatBecameOfEachLetterInOrder(t *testing.T) {
	e := operatetest.New(t)
	var letters []deadletter.Letter
	for i := range 4 {
		kept := archive.EncodeHeaders([]event.Header{{Key: "ce_id", Value: []byte("x")}})
		hash := archive.HashLetter([]byte("acme"), kept, nil)
		if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number,
			recorded_at, letter_partition, letter_offset, key, headers, hash) VALUES ('neuronx.ingress', 1, $1::bigint, 'acme', 'invalid_body', 'bad again', CASE WHEN $1 = 3 THEN 'r1' ELSE 'e' || $1 END, 'lead.created', '/t', '',
			CASE WHEN $1 = 3 THEN 'deadletter' ELSE '' END, 0, now(), 0, 10 + $1::bigint, $2, $3, $4)`, i, []byte("acme"), kept, hash[:]); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, deadletter.Letter{Topic: "neuronx.ingress", Partition: 1, Offset: int64(i), Tenant: "acme"})
	}
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps)}[name]
	}, Note: func(string, ...any) {}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Timeout: kafkatest.Patience}
	t.Cleanup(env.Close)
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			var n int
			if err := e.Root.QueryRow(ctx, `SELECT count(*) FROM neuronx.dead_letter_requests WHERE by = 'ann' AND reason = 'mended' AND origin = 'live' AND action = 'retry'`).Scan(&n); err != nil {
				answered <- err
				return
			}
			if n == 3 {
				break
			}
		}
		_, err := e.Root.Exec(ctx, `INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, topic, partition, "offset", redrive_id, decided_at) VALUES
			('acme', 20, 'retried', 'neuronx.ingress', 1, 0, 'r0', now()), ('acme', 21, 'admitted', '', -1, -1, 'r0', now()), ('acme', 22, 'retried', 'neuronx.ingress', 1, 1, 'r1', now())`)
		if err == nil {
			_, err = e.Root.Exec(ctx, `UPDATE neuronx.dead_letter_requests SET state = CASE "offset" WHEN 2 THEN 'refused' ELSE 'done' END,
				code = CASE "offset" WHEN 2 THEN 'unknown_tenant' ELSE '' END, detail = CASE "offset" WHEN 2 THEN 'gone' ELSE '' END`)
		}
		answered <- err
	}()
	got, err := Act(ctx, env, operate.Principal{Name: "ann", Source: "console"}, letters[:3], deadletter.Ask{Action: deadletter.Retry, Live: true, Reason: "mended"})
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	want := []Outcome{
		{Ref: "neuronx.ingress/1/0", Result: deadletter.Resolved, Detail: "sequence 21"},
		{Ref: "neuronx.ingress/1/1", Result: deadletter.RefusedAgain, Code: event.CodeInvalidBody, Detail: "as neuronx.ingress/1/3: bad again", Next: "neuronx.ingress/1/3"},
		{Ref: "neuronx.ingress/1/2", Result: "refused", Code: event.CodeUnknownTenant, Detail: "gone"},
	}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v\nwant %+v", got[i], want[i])
		}
	}
	env.Timeout = time.Second // nobody answers this one
	short, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	var late *operate.Error
	if _, err := Act(short, env, operate.Principal{Source: "console"}, letters[2:3], deadletter.Ask{Action: deadletter.Drop}); !errors.As(err, &late) || late.Kind != operate.KindPartial || !strings.Contains(late.What, "decided about 0 of 1") {
		t.Errorf("nobody answers: %v", err)
	}
}

// What was received is shown by the schema that the archive met, without a registry.
func TestDecode_ReadsTheSchemaOfTheArchive(t *testing.T) {
	e := operatetest.New(t)
	const schema = `{"type":"record","name":"LeadPinged","namespace":"neuronx.lead.v1","event_type":"lead.pinged","fields":[{"name":"lead_id","type":"string"}]}`
	if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.schemas (fingerprint, schema_id, schema, seen_at) VALUES (sha256('old'), 9, '"string"', now() - interval '1 hour'), (sha256('new'), 9, $1, now())`, schema); err != nil {
		t.Fatal(err)
	}
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps)}[name]
	}, Note: func(string, ...any) {}, Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(env.Close)
	for name, x := range map[string]struct {
		value []byte
		want  string
	}{
		"as it should be":      {event.Frame(9, []byte("\x0442")), `{"lead_id":"42"}`},
		"cut":                  {event.Frame(9, []byte("\x044")), ""},
		"of an unknown schema": {event.Frame(10, []byte("\x0442")), ""},
		"no frame":             {[]byte("x"), ""},
		"empty":                {nil, ""},
	} {
		if got := string(Decode(t.Context(), env, &deadletter.Letter{Value: x.value})); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

func TestUnasked_SaysHowManyAreAskedFor(t *testing.T) {
	ask := deadletter.Ask{Action: deadletter.Retry}
	var e *operate.Error
	if err := unasked(ask, 0, 3, errors.New("away")); !errors.As(err, &e) || e.Kind != operate.KindFailed || e.Why != "away" {
		t.Errorf("none: %+v", err)
	}
	if err := unasked(ask, 2, 3, errors.New("away")); !errors.As(err, &e) || e.Kind != operate.KindPartial || e.What != "retry is asked for of the first 2 of 3 dead letters" || !strings.Contains(e.Next, "stays asked for") {
		t.Errorf("two of three: %+v", err)
	}
}

// What the archive has not met is shown by the registry's schema, if there is a registry.
func TestDecode_AsksTheRegistryForWhatTheArchiveDoesNotKnow(t *testing.T) {
	e := operatetest.New(t)
	url, reg := registrytest.Start(t, kafkatest.Start(t))
	id, schema, err := reg.ByType(t.Context(), "lead.created")
	if err != nil {
		t.Fatal(err)
	}
	body, err := schema.EncodeJSON([]byte(`{"lead_id":"42"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Root.Exec(t.Context(), `DELETE FROM neuronx.schemas`); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		registry string
		id       int32
		shown    bool
	}{"with a registry": {url, id, true}, "without": {"", id, false}, "a dead one": {"http://127.0.0.1:1", id, false}, "an id that it has not": {url, id + 5000, false}} {
		settings := map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps), operate.EnvRegistry: x.registry}
		env := &operate.Env{Value: func(name string) string { return settings[name] }, Note: func(string, ...any) {}, Log: slog.New(slog.DiscardHandler), Timeout: kafkatest.Patience}
		got := string(Decode(t.Context(), env, &deadletter.Letter{Value: event.Frame(x.id, body)}))
		env.Close()
		if (got != "") != x.shown || x.shown && !strings.Contains(got, `"lead_id":"42"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
