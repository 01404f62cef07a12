package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Options of an embedded broker.
type Options struct {
	DataDir string       // empty: everything in memory, gone at Close
	Addr    string       // IP and port to listen on; empty means 127.0.0.1:0, port 0 any free one
	Log     *slog.Logger // nil: silent
}

// Cluster is a running embedded broker.
type Cluster struct {
	fake *kfake.Cluster
	lock *os.File
	once sync.Once
}

// Start starts a broker and loads what DataDir holds. It is ready when Start returns.
func Start(opt Options) (*Cluster, error) {
	host, port, err := listenAddr(opt.Addr)
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	// This broker answers DescribeTopicPartitions with a null list of eligible leaders, on which Kafka's own tools fail
	// (kafka-consumer-groups.sh --describe). From a broker that does not know the request they take Metadata instead.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.DescribeTopicPartitions.Int16(), -1)
	opts := []kfake.Opt{
		kfake.MaxVersions(versions),
		kfake.ClusterID("neuronx-embedded"),
		kfake.Ports(port),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, port, _ := net.SplitHostPort(address) // kfake's own choice of host is always 127.0.0.1
			return net.Listen(network, net.JoinHostPort(host, port))
		}),
		kfake.BrokerConfigs(map[string]string{
			// A laptop may stay closed for longer than a week; the groups' offsets must not expire for it.
			"offsets.retention.minutes": "5256000", // ten years
		}),
	}
	if opt.Log != nil {
		opts = append(opts, kfake.WithLogger(logger{opt.Log}))
	}
	if opt.DataDir != "" {
		if c.lock, err = lockDir(opt.DataDir); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(opt.DataDir), kfake.SyncWrites())
	}
	if c.fake, err = kfake.NewCluster(opts...); err != nil {
		unlockDir(c.lock)
		return nil, fmt.Errorf("embedded kafka: start on %s: %w", net.JoinHostPort(host, strconv.Itoa(port)), err)
	}
	c.listGroupsInAnyCase()
	return c, nil
}

// listGroupsInAnyCase lets a request for groups name types and states as a broker takes them, whatever their case. This broker compares
// exactly, and Kafka's own tools ask for Classic and Consumer: kafka-consumer-groups.sh --list and --all-groups would show nothing.
func (c *Cluster) listGroupsInAnyCase() {
	states := []string{"Unknown", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling", "NotReady"}
	c.fake.ControlKey(kmsg.ListGroups.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req, ok := r.(*kmsg.ListGroupsRequest)
		if !ok {
			return nil, nil, false
		}
		for i, t := range req.TypesFilter {
			req.TypesFilter[i] = strings.ToLower(t)
		}
		for i, s := range req.StatesFilter {
			if at := slices.IndexFunc(states, func(known string) bool { return strings.EqualFold(known, s) }); at >= 0 {
				req.StatesFilter[i] = states[at]
			}
		}
		return nil, nil, false // and the broker answers it
	})
}

// Brokers lists the addresses to connect to.
func (c *Cluster) Brokers() []string { return c.fake.ListenAddrs() }

// Close stops the broker and writes its data. Stop its clients first. It may be called more than once.
func (c *Cluster) Close() error {
	c.once.Do(func() {
		c.fake.Close()
		unlockDir(c.lock)
	})
	return nil
}

func listenAddr(addr string) (host string, port int, err error) {
	if addr == "" {
		return "127.0.0.1", 0, nil
	}
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("embedded kafka: address %q: %w", addr, err)
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.IsUnspecified() {
		return "", 0, fmt.Errorf("embedded kafka: address %q: give one IP of this machine, because clients are told to connect to it", addr)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("embedded kafka: address %q: not a port", addr)
	}
	return host, port, nil
}

// logger hands kfake's lines to slog, one level down: what is information to a broker is detail to an engine.
type logger struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelWarn
	case kfake.LogLevelWarn:
		to = slog.LevelInfo
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, fmt.Sprintf(format, args...))
	}
}

func lockError(dir string, err error) error {
	return fmt.Errorf("embedded kafka: data folder %s: %w", dir, err)
}
