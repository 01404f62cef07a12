package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/event"
)

// dialLimit bounds the look whether anybody listens.
const dialLimit = 5 * time.Second

// start is what to do when nothing runs.
const start = "start `make run`"

// notRunning reports whether an error says that nobody listens.
func notRunning(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.down
}

// engine looks whether anything of the engine listens, of what is configured; the error says that nothing does. Parts that are away
// while others answer are told by status and doctor one by one.
func (c *cli) engine() error {
	var down []string
	for _, look := range []struct {
		env string
		ask func(string) error
	}{
		{envBrokers, func(v string) error { return c.listening("Kafka", envBrokers, kafkaAddresses(strings.Split(v, ","))) }},
		{envPostgres, func(v string) error { return c.postgresListening(envPostgres, v) }},
		{envRegistry, func(v string) error { return c.urlListening("the schema registry", envRegistry, v) }},
		{envHTTP, func(v string) error { return c.urlListening("the HTTP door", envHTTP, v) }},
		{envAdminURL, func(v string) error { return c.urlListening("the admin port", envAdminURL, v) }},
	} {
		v := c.value(look.env)
		if v == "" {
			continue
		}
		err := look.ask(v)
		if !notRunning(err) {
			return nil
		}
		var e *Error
		errors.As(err, &e)
		down = append(down, e.place)
	}
	if len(down) == 0 {
		return nil
	}
	return (&Error{Exit: exitFailed, What: "the engine is not running: nobody answers at " + strings.Join(down, ", "), Code: event.CodeUnavailable, down: true}).next("%s", start)
}

// listening asks whether anybody listens at one of the addresses. The clients of Kafka and Postgres would try again for a minute, or
// for ever, before they say that nobody does. What was found once counts for the whole command.
func (c *cli) listening(what, env string, addrs []string) error {
	if err, asked := c.asked[env]; asked {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(dialLimit, max(c.timeout, time.Second)))
	defer cancel()
	answers := make(chan error, len(addrs))
	for _, addr := range addrs {
		go func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			answers <- err
		}()
	}
	var why error
	for range addrs {
		if why = <-answers; why == nil {
			break
		}
	}
	var result error
	if why != nil {
		next := start
		if !allLoopback(addrs) {
			next = fmt.Sprintf("is %s running there, and %s right? For an engine on this machine, %s", what, env, start)
		}
		var op *net.OpError
		if errors.As(why, &op) {
			why = op.Err
		}
		place := strings.Join(addrs, ", ") + " (" + what + ")"
		result = (&Error{Exit: exitFailed, What: "the engine is not running: nobody answers at " + place, Code: event.CodeUnavailable, down: true, place: place}).
			why("%v", why).next("%s", next)
	}
	if c.asked == nil {
		c.asked = map[string]error{}
	}
	c.asked[env] = result
	return result
}

func allLoopback(addrs []string) bool {
	for _, a := range addrs {
		host, _, err := net.SplitHostPort(a)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// kafkaAddresses are the bootstrap servers, each with a port.
func kafkaAddresses(brokers []string) []string {
	out := make([]string, len(brokers))
	for i, b := range brokers {
		out[i] = strings.TrimSpace(b)
		if _, _, err := net.SplitHostPort(out[i]); err != nil {
			out[i] = net.JoinHostPort(strings.Trim(out[i], "[]"), "9092")
		}
	}
	return out
}

// postgresListening looks at the hosts of a Postgres URL; a URL that can't be read, and a socket in the file system, are left to the
// client.
func (c *cli) postgresListening(env, text string) error {
	cfg, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil //nolint:nilerr // postgres.Open says what is wrong with it, without its password
	}
	hosts := []*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port}}
	var addrs []string
	for _, h := range append(hosts, cfg.Fallbacks...) {
		addr := net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
		switch {
		case strings.HasPrefix(h.Host, "/"):
			return nil
		case len(addrs) == 0 || addrs[len(addrs)-1] != addr:
			addrs = append(addrs, addr)
		}
	}
	return c.listening("Postgres", env, addrs)
}

// urlListening looks at the host of an HTTP URL; one that can't be read is left to the client.
func (c *cli) urlListening(what, env, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || proxied(u) {
		return nil //nolint:nilerr // the client says what is wrong with it
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
	}
	return c.listening(what, env, []string{net.JoinHostPort(u.Hostname(), port)})
}

// proxied reports whether the environment sends requests to a URL through a proxy: then its host need not be in reach.
func proxied(u *url.URL) bool {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return err != nil || proxy != nil
}

// needEngine refuses to look at an engine of which nothing listens, or nothing is known.
func (c *cli) needEngine(admin []string) error {
	if len(admin) > 0 && c.value(envAdminURL) == "" {
		return nil // processes were named: they are asked
	}
	if c.value(envBrokers) == "" && c.value(envPostgres) == "" && c.value(envRegistry) == "" && c.value(envHTTP) == "" {
		return (&Error{Exit: exitFailed, What: "nothing is configured, so nothing was looked at", Code: event.CodeInvalidConfig}).
			why("there is no engine in this folder (no %s), and no address is set", defaultEnv).
			next("%s, which writes %s; from another folder add --env-file <its folder>/%s; or set and export %s, %s and %s", start, defaultEnv, defaultEnv, envBrokers, envPostgres, envRegistry)
	}
	return c.engine()
}
