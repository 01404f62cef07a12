package topology_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

func declaredGrants(t *testing.T) map[string][]admin.Grant {
	t.Helper()
	users, err := topology.Users()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]admin.Grant{}
	for _, u := range users {
		g, err := u.Grants()
		if err != nil || u.Doc == "" {
			t.Fatalf("%s: %q, %v", u.Name, u.Doc, err)
		}
		out[u.Name] = g
	}
	return out
}

// may reports whether a set of grants allows something.
func may(gs []admin.Grant, op admin.Operation, topic string) bool {
	return slices.ContainsFunc(gs, func(g admin.Grant) bool {
		return g.Resource == kmsg.ACLResourceTypeTopic && g.Operation == op && (g.Name == topic || g.Prefixed && strings.HasPrefix(topic, g.Name))
	})
}

func TestDeclaredUsers_OnlyIngestWritesTheLogAndNobodyWritesLandingTopics(t *testing.T) {
	writers := map[string][]string{
		kafka.TopicIngress:         {"neuronx_archiver", "neuronx_gohighlevel", "neuronx_ingest", "neuronx_ops", "neuronx_projector", "neuronx_rules"},
		kafka.TopicEvents:          {"neuronx_ingest"},
		kafka.TopicDeadLetter:      {"neuronx_ingest"},
		kafka.TopicReceipts:        {"neuronx_ingest"},
		kafka.TopicState:           {"neuronx_ingest"},
		kafka.TopicSchemas:         nil,
		kafka.LandingTopic("acme"): nil,
	}
	users := declaredGrants(t)
	for topic, want := range writers {
		var got []string
		for u, gs := range users {
			if may(gs, kmsg.ACLOperationWrite, topic) {
				got = append(got, u)
			}
			if !may(gs, kmsg.ACLOperationDescribeConfigs, topic) {
				t.Errorf("%s can't compare %s with what is declared", u, topic)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s is written by %v, want %v", topic, got, want)
		}
	}
	for u, gs := range users {
		for _, g := range gs {
			if g.Resource == kmsg.ACLResourceTypeCluster || g.Name == "" || g.Name == "*" {
				t.Errorf("%s may %s", u, g)
			}
		}
	}
}

func TestProvisionUsers_GivesEachExactlyWhatIsDeclared(t *testing.T) {
	ctx := context.Background()
	adm, as := kafkatest.StartSecure(t)
	passwords := map[string]app.Secret{}
	for u := range declaredGrants(t) {
		passwords[u] = app.Secret("of " + u)
	}
	plan, err := topology.ProvisionUsers(ctx, adm, passwords, false)
	if err != nil || len(plan) == 0 {
		t.Fatal(plan, err)
	}
	if err := ping(t, as("neuronx_rules", "of neuronx_rules")); err == nil {
		t.Error("a plan made users")
	}
	if _, err := topology.ProvisionUsers(ctx, adm, passwords, true); err != nil {
		t.Fatal(err)
	}
	a, err := admin.New(adm)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	extra := admin.Grant{User: "neuronx_rules", Resource: kmsg.ACLResourceTypeTopic, Name: kafka.TopicEvents, Operation: kmsg.ACLOperationWrite}
	if err := a.Grant(ctx, extra); err != nil {
		t.Fatal(err)
	}
	again, err := topology.ProvisionUsers(ctx, adm, nil, true)
	if err != nil || len(again) != 1 || again[0].Action != topology.ActionWithdraw {
		t.Fatalf("%v, %v; want the one right withdrawn that is not declared", again, err)
	}
	for u, want := range declaredGrants(t) {
		if have, err := a.Grants(ctx, u); err != nil || !slices.Equal(have, want) {
			t.Errorf("%s has %v, %v; want %v", u, have, err, want)
		}
	}
	for user, want := range map[string]error{"neuronx_ingest": nil, "neuronx_rules": kerr.TopicAuthorizationFailed} {
		if err := produce(t, as(user, "of "+user), kafka.TopicEvents); !errors.Is(err, want) {
			t.Errorf("%s writes the log: %v", user, err)
		}
	}
	if _, err := topology.ProvisionUsers(ctx, adm, map[string]app.Secret{"mallory": "x"}, true); err == nil {
		t.Error("a password for nobody is taken")
	}
}

func ping(t *testing.T, cfg kafka.Config) error {
	t.Helper()
	adm, err := admin.New(cfg)
	if err != nil {
		return err
	}
	defer adm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	return adm.Ping(ctx)
}

func produce(t *testing.T, cfg kafka.Config, topic string) error {
	t.Helper()
	p, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Abort()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	return p.Produce(ctx, &kafka.Record{Topic: topic, Key: []byte("acme"), Value: []byte("x")})
}

func TestPlanLanding_ATenantWritesItsOwnTopicAndNothingElse(t *testing.T) {
	ctx := context.Background()
	adm, as := kafkatest.StartSecure(t)
	a, err := admin.New(adm)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	apply := func(l topology.LandingAccess) []topology.AccessChange {
		t.Helper()
		plan, err := topology.PlanLanding(ctx, a, l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topology.Perform(ctx, plan); err != nil {
			t.Fatal(err)
		}
		if l.Renew {
			return plan
		}
		if left, err := topology.PlanLanding(ctx, a, l); err != nil || len(left) != 0 {
			t.Fatalf("after it was done there is left to do: %v, %v", left, err)
		}
		return plan
	}
	apply(topology.LandingAccess{Tenant: "acme", Rate: 1 << 20, Password: "first"})
	apply(topology.LandingAccess{Tenant: "acme-2", Password: "other"})
	topics, err := a.LandingTopics(ctx)
	if err != nil || len(topics) != 2 || topics["neuronx.ingress.acme"].Partitions != 1 {
		t.Fatalf("%v, %v", topics, err)
	}
	if rate, err := a.ProducerRate(ctx, kafka.LandingUser("acme")); err != nil || rate != 1<<20 {
		t.Errorf("rate %d, %v", rate, err)
	}
	mine := as("tenant-acme", "first")
	if err := produce(t, mine, "neuronx.ingress.acme"); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"neuronx.ingress.acme-2", kafka.TopicIngress, kafka.TopicEvents, kafka.TopicState} {
		if err := produce(t, mine, topic); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("a tenant writes %s: %v", topic, err)
		}
	}
	again := apply(topology.LandingAccess{Tenant: "acme", Rate: 2 << 20, Password: "second"})
	if len(again) != 1 || again[0].Action != topology.ActionAlter {
		t.Errorf("another rate: %v", again)
	}
	if err := ping(t, mine); err != nil {
		t.Errorf("the password changed by itself: %v", err)
	}
	apply(topology.LandingAccess{Tenant: "acme", Rate: 2 << 20, Password: "third", Renew: true})
	if ping(t, mine) == nil || ping(t, as("tenant-acme", "third")) != nil {
		t.Error("the password was not renewed")
	}
	apply(topology.LandingAccess{Tenant: "acme", Revoke: true})
	if ping(t, as("tenant-acme", "third")) == nil {
		t.Error("the user is still there")
	}
	if topics, err := a.LandingTopics(ctx); err != nil || len(topics) != 2 {
		t.Errorf("revoking took the topic: %v, %v", topics, err)
	}
}
