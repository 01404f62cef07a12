//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/kafka"
)

// Operators reset the group of the rules to places as they come, by Kafka's own tool, while leads come in and timers are due: each reset derives again what
// is in the log, and finds no difference. NEURONX_TEST_WORKFLOWS=long plays thirty; NEURONX_TEST_SEED plays the same ones again.
func TestResets_OfTheRulesToRandomPlacesFindNoDifferenceWhileWorkflowsRun(t *testing.T) {
	cluster.Turn(t, cluster.First)
	resets, seed := 3, seedOf(t)
	if os.Getenv("NEURONX_TEST_WORKFLOWS") == "long" {
		resets = 30
	}
	ctx := context.Background()
	c := cluster.Start(t, cluster.Options{Ingests: 1})
	tenants := c.Tenants(t, "random", 3, 0)
	for _, tenant := range tenants {
		noError(t, c.PublishRules(ctx, tenant.ID, append(slices.Clone(routed), chased), 1))
	}
	var traffic sync.WaitGroup
	leads, running := 0, true
	var mu sync.Mutex // guards running
	traffic.Go(func() {
		for goes := true; goes && leads < 3000; {
			for _, tenant := range tenants {
				publishAbout(t, c, tenant, "lead.created", leads, leads+5, 1)
			}
			leads += 5
			rest(ctx, 400*time.Millisecond)
			mu.Lock()
			goes = running
			mu.Unlock()
		}
	})
	rest(ctx, 6*time.Second)
	rng := rand.New(rand.NewPCG(seed, 30))
	began := time.Now().Add(-5 * time.Second)
	places := []func() []string{
		func() []string { return []string{"--to-earliest"} },
		func() []string {
			return []string{"--to-datetime", began.Add(time.Duration(rng.Int64N(int64(time.Since(began))))).UTC().Format("2006-01-02T15:04:05.000")}
		},
		func() []string { return []string{"--to-offset", fmt.Sprint(rng.IntN(60))} },
		func() []string { return []string{"--by-duration", fmt.Sprintf("PT%dS", 4+rng.IntN(30))} },
		func() []string { return []string{"--shift-by", fmt.Sprint(-1 - rng.IntN(40))} },
	}
	rng.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	examined := int64(0)
	for n := range resets {
		place := places[n%len(places)]()
		examined += resetRules(t, ctx, c, place)
	}
	mu.Lock()
	running = false
	mu.Unlock()
	traffic.Wait()
	for _, tenant := range tenants {
		for n := 0; n < leads; n += 100 {
			publishAbout(t, c, tenant, "lead.contacted", n, min(n+100, leads), 1) // no timer is shorter than a minute: what is armed still is disarmed
		}
	}
	(&flock{t: t, c: c}).ended(ctx)
	noError(t, c.WaitIdle(ctx, time.Minute))
	d, err := c.Dump(ctx)
	noError(t, err)
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
	derived := map[string]int{}
	for i := range d.Log {
		derived[d.Log[i].Type]++
	}
	if all := len(tenants) * leads; derived["workflow.started"] != all || derived["workflow.completed"] != all || derived["lead.assigned"] != all {
		t.Errorf("%d leads came; of them %d have an instance, %d have one that ended, %d have an owner", all, derived["workflow.started"], derived["workflow.completed"], derived["lead.assigned"])
	}
	t.Logf("seed %d: %d resets examined %d events while %d leads of %d tenants came", seed, resets, examined, leads, len(tenants))
	if examined == 0 {
		t.Error("the resets compared nothing")
	}
}

// resetRules resets the group of the rules, waits until the service has carried that out, and returns how many events it compared.
func resetRules(t *testing.T, ctx context.Context, c *cluster.Cluster, place []string) (examined int64) {
	t.Helper()
	began := time.Now()
	var before, noted, differences, bad int64
	noError(t, c.Admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.resets WHERE consumer = $1`, kafka.GroupRules).Scan(&before))
	reset, err := c.ResetGroup(ctx, kafka.GroupRules, cluster.ByKafka(kafka.GroupRules, place...))
	noError(t, err)
	_, err = reset.Back(ctx, time.Minute)
	noError(t, err)
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		var open int
		err := c.Admin.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE state IN ('requested', 'running')), count(*) FILTER (WHERE state NOT IN ('requested', 'running', 'done')),
				coalesce(sum(differences), 0), coalesce(sum(examined), 0)
			FROM (SELECT * FROM neuronx.resets WHERE consumer = $1 ORDER BY requested_at OFFSET $2) r`, kafka.GroupRules, before).Scan(&noted, &open, &bad, &differences, &examined)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d of %d resets are under way", open, noted)
		}
		return err
	}))
	if noted == 0 || bad > 0 || differences > 0 {
		t.Errorf("the reset %v: %d partitions noted it, %d ended otherwise than done, %d of %d events differ", place, noted, bad, differences, examined)
	}
	t.Logf("%v: %d partitions, %d events examined, none differs, in %s", place, noted, examined, time.Since(began).Truncate(time.Millisecond))
	return examined
}
