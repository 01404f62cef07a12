//go:build containers

package containers

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	kafkaImage    = "apache/kafka:4.3.0"
	postgresImage = "postgres:18.6"
)

// startKafka starts one broker and returns it with its address. The address that a broker advertises has to be known before it
// starts, so a free port of this machine is published as it is.
func startKafka(ctx context.Context, t *testing.T) (testcontainers.Container, string) {
	t.Helper()
	port := freePort(t)
	exposed := fmt.Sprintf("%d/tcp", port)
	c, err := testcontainers.Run(ctx, kafkaImage,
		testcontainers.WithExposedPorts(exposed),
		testcontainers.WithHostConfigModifier(func(hc *container.HostConfig) {
			hc.PortBindings = network.PortMap{network.MustParsePort(exposed): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: fmt.Sprint(port)}}}
		}),
		testcontainers.WithEnv(map[string]string{
			"KAFKA_NODE_ID":                                  "1",
			"KAFKA_PROCESS_ROLES":                            "broker,controller",
			"KAFKA_LISTENERS":                                fmt.Sprintf("HOST://:%d,INTERNAL://:19092,CONTROLLER://:9093", port),
			"KAFKA_ADVERTISED_LISTENERS":                     fmt.Sprintf("HOST://127.0.0.1:%d,INTERNAL://localhost:19092", port),
			"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":           "HOST:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
			"KAFKA_INTER_BROKER_LISTENER_NAME":               "INTERNAL",
			"KAFKA_CONTROLLER_LISTENER_NAMES":                "CONTROLLER",
			"KAFKA_CONTROLLER_QUORUM_VOTERS":                 "1@localhost:9093",
			"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
			"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
			"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
			"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":         "0",
			"KAFKA_HEAP_OPTS":                                "-Xmx512m",
		}),
		testcontainers.WithWaitStrategy(wait.ForLog("Kafka Server started").WithStartupTimeout(2*time.Minute)))
	testcontainers.CleanupContainer(t, c)
	must(t, err)
	return c, fmt.Sprintf("127.0.0.1:%d", port)
}

// startPostgres starts a server and returns its superuser's URL.
func startPostgres(ctx context.Context, t *testing.T) string {
	t.Helper()
	c, err := testcontainers.Run(ctx, postgresImage,
		testcontainers.WithExposedPorts("5432/tcp"),
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": "test", "POSTGRES_DB": "neuronx"}),
		testcontainers.WithCmd("postgres", "-c", "fsync=off"),
		// The server starts twice: first for its own set-up, without a port.
		testcontainers.WithWaitStrategy(wait.ForAll(
			wait.ForLog("database system is ready to accept connections").WithOccurrence(2), wait.ForListeningPort("5432/tcp"),
		).WithDeadline(2*time.Minute)))
	testcontainers.CleanupContainer(t, c)
	must(t, err)
	endpoint, err := c.PortEndpoint(ctx, "5432/tcp", "")
	must(t, err)
	return "postgres://postgres:test@" + endpoint + "/neuronx?sslmode=disable"
}

// runTopicsScript creates the topics as an administrator without the engine's tools would.
func runTopicsScript(ctx context.Context, t *testing.T, c testcontainers.Container) {
	t.Helper()
	must(t, c.CopyFileToContainer(ctx, filepath.Join(root, "deploy", "kafka", "topics.sh"), "/tmp/topics.sh", 0o755))
	code, out, err := c.Exec(ctx, []string{"/tmp/topics.sh"}, exec.Multiplexed(),
		exec.WithEnv([]string{"BOOTSTRAP=localhost:19092", "PARTITIONS=6", "REPLICATION=1", "MIN_INSYNC=1"}))
	must(t, err)
	if text, err := io.ReadAll(out); code != 0 || err != nil {
		t.Fatalf("topics.sh: exit %d, %v\n%s", code, err, text)
	}
}

// root is the repository, seen from this package.
const root = "../.."

// lastPort goes round from anywhere below the ports that outgoing connections take (32768 and up on Linux): a port is not
// taken by a client between its choice and its use.
var lastPort atomic.Uint32

func freePort(t *testing.T) int {
	t.Helper()
	const first, count = 20_000, 10_000
	lastPort.CompareAndSwap(0, 1+rand.Uint32N(count))
	for range count {
		port := int(first + lastPort.Add(1)%count)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			must(t, l.Close())
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// eventually asks until the answer is nil or the time is up.
func eventually(ctx context.Context, t *testing.T, limit time.Duration, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %v", limit, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	return send(req)
}

// send returns the body of a 2xx answer.
func send(req *http.Request) (string, error) {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return string(body), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain: a machine may have a /.dockerenv though Docker runs on it, and not around it. testcontainers then takes the default
// gateway for the address of published ports.
func TestMain(m *testing.M) {
	if _, err := os.Stat("/.dockerenv"); err == nil && os.Getenv("TESTCONTAINERS_HOST_OVERRIDE") == "" {
		if pid, err := os.ReadFile("/var/run/docker.pid"); err == nil && len(pid) > 0 {
			os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
		}
	}
	os.Exit(m.Run())
}
