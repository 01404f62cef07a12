//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// diagnosis is what doctor says of one check.
type diagnosis struct{ Check, Result, Detail, Next string }

// doctorAs runs doctor on a healthy cluster as a user of its Kafka.
func doctorAs(t *testing.T, c *cluster.Cluster, user, passwordFile string) (found []diagnosis, text string) {
	t.Helper()
	cmd := c.Command(context.Background(), c.WithAdmins("doctor", "--laptop", "-o", "json")...)
	cmd.Env = append(cmd.Env, "NEURONX_KAFKA_SASL_USERNAME="+user, "NEURONX_KAFKA_SASL_PASSWORD_FILE="+passwordFile)
	out, err := cmd.Output()
	if e := json.Unmarshal(out, &found); e != nil || len(found) == 0 {
		t.Fatalf("doctor as %s: %v, %v\n%s", user, err, e, out)
	}
	return found, string(out)
}

// of are the results of one check.
func of(found []diagnosis, check string) (out []diagnosis) {
	for _, d := range found {
		if d.Check == check {
			out = append(out, d)
		}
	}
	return out
}

func has(found []diagnosis, result string, words ...string) bool {
	return slices.ContainsFunc(found, func(d diagnosis) bool {
		return d.Result == result && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(d.Detail+" "+d.Next, w) })
	})
}

// TestAccess_WhatAKafkaUserMayNotSeeOrUseIsSaid runs doctor as declared users and as one with less, and processes with a wrong password.
func TestAccess_WhatAKafkaUserMayNotSeeOrUseIsSaid(t *testing.T) {
	cluster.Turn(t, cluster.Secured)
	ctx := context.Background()
	c := cluster.Start(t, cluster.Options{Ingests: 1, Secure: true})
	c.Tenants(t, "t", 1, 1)
	secret := func(user string) string { return filepath.Join(c.Dir, user+".kafka-password") }
	wrong := filepath.Join(c.Dir, "wrong-password")
	cluster.Must(t, os.WriteFile(wrong, []byte("wrong-secret\n"), 0o600))
	adminClient, err := admin.New(c.Kafka)
	cluster.Must(t, err)
	t.Cleanup(adminClient.Close)

	t.Run("the operators' user", func(t *testing.T) {
		found, text := doctorAs(t, c, "neuronx_ops", secret("neuronx_ops"))
		for _, want := range []struct {
			check, result string
			words         []string
		}{
			{"kafka: disks", "skipped", []string{"Describe on the cluster"}},
			{"topics and brokers", "ok", []string{"the topics"}},
			{"topics and brokers", "skipped", []string{"the brokers", "DescribeConfigs on the cluster"}},
			{"transactions", "ok", []string{"none hangs in ", " partitions"}},
			{"sequencer's state", "ok", nil},
			{"outboxes against the log", "ok", nil},
			{"consumers", "ok", nil},
		} {
			if !has(of(found, want.check), want.result, want.words...) {
				t.Errorf("%s is not %s with %q: %v", want.check, want.result, want.words, of(found, want.check))
			}
		}
		if has(found, "fail") {
			t.Errorf("a check fails on a healthy engine: %s", text)
		}
	})
	t.Run("a service's user", func(t *testing.T) {
		for _, user := range []string{"neuronx_rules", "neuronx_projector", "neuronx_archiver", "neuronx_gohighlevel", "neuronx_ingest"} {
			found, _ := doctorAs(t, c, user, secret(user))
			for _, d := range found {
				if d.Result == "fail" {
					t.Errorf("%s: a check fails on a healthy engine: %v", user, d)
				}
			}
			if user != "neuronx_ingest" && !has(of(found, "sequencer's state"), "skipped", "Read on the topic "+kafka.TopicState) {
				t.Errorf("%s may not read the sequencer's state, and doctor says %v", user, of(found, "sequencer's state"))
			}
		}
	})
	t.Run("a user without the offsets", func(t *testing.T) {
		const user = "neuronx_test_look"
		file := secret(user)
		cluster.Must(t, os.WriteFile(file, []byte("look-secret\n"), 0o600))
		adm := adminClient.KAdm()
		_, err := adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "look-secret"}})
		cluster.Must(t, err)
		b := kadm.NewACLs().Allow("User:"+user).AllowHosts("*").ResourcePatternType(kadm.ACLPatternPrefixed).Operations(kadm.OpRead, kadm.OpDescribe).Topics("neuronx.").Groups("neuronx.").TransactionalIDs("neuronx.")
		_, err = adm.CreateACLs(ctx, b)
		cluster.Must(t, err)
		t.Cleanup(func() {
			_, _ = adm.DeleteACLs(ctx, b)
			_, _ = adm.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha512}}, nil)
		})
		cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(context.Context) error {
			found, _ := doctorAs(t, c, user, file)
			transactions := of(found, "transactions")
			if !has(transactions, "skipped", "_schemas", kafka.GroupSequencer, kafka.GroupLanding, "__consumer_offsets") || !has(transactions, "ok", "none hangs in ") {
				return fmt.Errorf("it may not see _schemas and __consumer_offsets, and doctor says %v", transactions)
			}
			return nil
		}))
	})
	t.Run("a wrong password", func(t *testing.T) {
		found, text := doctorAs(t, c, "neuronx_ops", wrong)
		if !has(of(found, "kafka"), "fail", "neuronx_ops", "SASL_AUTHENTICATION_FAILED", "NEURONX_KAFKA_SASL_PASSWORD_FILE") {
			t.Errorf("doctor does not name user and setting: %v", of(found, "kafka"))
		}
		for _, d := range found {
			if d.Check != "kafka" && (d.Result == "fail" || strings.Contains(d.Detail, "does not answer")) {
				t.Errorf("the fault is the password: %v", d)
			}
		}
		if strings.Contains(text, "wrong-secret") {
			t.Error("doctor shows the password")
		}
	})
	t.Run("a password that is changed under a process", func(t *testing.T) { changePassword(ctx, t, c, adminClient.KAdm()) })
	for _, s := range []struct {
		program string
		args    []string
	}{{"ingest", []string{"--http", "127.0.0.1:0", "--slot", "7"}}, {"rules", nil}, {"projector", nil}, {"archiver", nil}, {"gohighlevel", []string{"--ghl-base-url", c.CRMURL}}} {
		t.Run("a wrong password at the start of "+s.program, func(t *testing.T) {
			p := c.Service(t, "wrong-"+s.program, s.program, s.program, append(s.args, "--laptop", "--kafka-sasl-password", "wrong-secret")...)
			cluster.Must(t, p.Start())
			// Credentials are read at the start, so waiting cannot help: it ends, and says once what to correct.
			cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(context.Context) error {
				if p.Running() {
					return fmt.Errorf("%s runs on", s.program)
				}
				return nil
			}))
			log := p.Tail(1000)
			for _, words := range []string{"SASL_AUTHENTICATION_FAILED", "neuronx_" + s.program, "NEURONX_KAFKA_SASL_PASSWORD_FILE"} {
				if n := strings.Count(log, words); n != 1 {
					t.Errorf("its log says %s %d times:\n%s", words, n, log)
				}
			}
			if strings.Contains(log, "wrong-secret") {
				t.Error("its log shows the password")
			}
		})
	}
}

// changePassword changes the passwords of two running processes at Kafka, where connections have to authenticate again every 15 s, and takes
// that back. They say what is wrong, wait, and go on.
func changePassword(ctx context.Context, t *testing.T, c *cluster.Cluster, adm *kadm.Client) {
	set := func(process, password string) {
		user := "neuronx_" + serviceOf(process)
		if password == "" {
			b, err := os.ReadFile(filepath.Join(c.Dir, user+".kafka-password"))
			cluster.Must(t, err)
			password = strings.TrimSpace(string(b))
		}
		answer, err := adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
		cluster.Must(t, err)
		cluster.Must(t, answer.Error())
	}
	processes := []string{"projector", "ingest-0"}
	pids := map[string]int{}
	for _, name := range processes {
		pids[name] = c.Processes[name].PID()
		set(name, "another-secret")
	}
	for _, name := range processes {
		p := c.Processes[name]
		if err := cluster.Eventually(ctx, toldWithin, func(ctx context.Context) error {
			body, code, err := p.Readiness(ctx)
			if err == nil && (code != http.StatusServiceUnavailable || !strings.Contains(body, "SASL_AUTHENTICATION_FAILED")) {
				err = fmt.Errorf("%d %s", code, body)
			}
			return err
		}); err != nil {
			t.Errorf("readiness of %s does not say that its password is refused: %v", name, err)
		}
	}
	rest(ctx, 10*time.Second) // in which it is tried again and again
	for _, name := range processes {
		set(name, "")
	}
	soon, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, name := range processes {
		p := c.Processes[name]
		if err := p.Ready(soon); err != nil || p.PID() != pids[name] {
			t.Errorf("%s does not go on with its password: pid %d, was %d, %v", name, p.PID(), pids[name], err)
		}
		said := map[string]int{}
		for line := range strings.Lines(p.Tail(10_000)) {
			var entry struct{ Msg, Err, Role string }
			if strings.Contains(line, "SASL_AUTHENTICATION_FAILED") && json.Unmarshal([]byte(line), &entry) == nil && entry.Err != "" {
				said[entry.Role+" "+entry.Msg+": "+entry.Err]++
			}
		}
		if len(said) == 0 {
			t.Errorf("the log of %s does not say that its password is refused", name)
		}
		for text, n := range said {
			if n > 1 {
				t.Errorf("the log of %s says %d times: %s", name, n, text)
			}
		}
	}
}
