package operate

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

// Start is what to do when nothing runs.
const Start = "start `make run`"

// NotRunning reports whether an error says that nobody listens.
func NotRunning(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.down
}

// engine looks whether anything of the engine listens, of what is configured; the error says that nothing does. Parts that are away
// while others answer are told by status and doctor one by one.
func (v *Env) engine() error {
	var down []string
	for _, look := range []struct {
		env string
		ask func(string) error
	}{
		{EnvBrokers, func(at string) error { return v.listening("Kafka", EnvBrokers, kafkaAddresses(strings.Split(at, ","))) }},
		{EnvPostgres, func(at string) error { return v.PostgresListening(EnvPostgres, at) }},
		{EnvRegistry, func(at string) error { return v.URLListening("the schema registry", EnvRegistry, at) }},
		{EnvHTTP, func(at string) error { return v.URLListening("the HTTP endpoint", EnvHTTP, at) }},
		{EnvAdminURL, func(at string) error { return v.URLListening("the admin port", EnvAdminURL, at) }},
	} {
		at := v.Value(look.env)
		if at == "" {
			continue
		}
		err := look.ask(at)
		if !NotRunning(err) {
			return nil
		}
		var e *Error
		errors.As(err, &e)
		down = append(down, e.place)
	}
	if len(down) == 0 {
		return nil
	}
	return (&Error{Kind: KindFailed, What: "the engine is not running: nobody answers at " + strings.Join(down, ", "), Code: event.CodeUnavailable, down: true}).Hint("%s", Start)
}

// listening asks whether anybody listens at one of the addresses. The clients of Kafka and Postgres would try again for a minute, or
// for ever, before they say that nobody does. What was found once counts for the whole command.
func (v *Env) listening(what, env string, addrs []string) error {
	if err, asked := v.asked[env]; asked {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(dialLimit, max(v.Timeout, time.Second)))
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
		next := Start
		if !allLoopback(addrs) {
			next = fmt.Sprintf("is %s running there, and %s right? For an engine on this machine, %s", what, env, Start)
		}
		var op *net.OpError
		if errors.As(why, &op) {
			why = op.Err
		}
		place := strings.Join(addrs, ", ") + " (" + what + ")"
		result = (&Error{Kind: KindFailed, What: "the engine is not running: nobody answers at " + place, Code: event.CodeUnavailable, down: true, place: place}).
			Because("%v", why).Hint("%s", next)
	}
	if v.asked == nil {
		v.asked = map[string]error{}
	}
	v.asked[env] = result
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

// PostgresListening looks at the hosts of a Postgres URL; a URL that can't be read, and a socket in the file system, are left to the
// client.
func (v *Env) PostgresListening(env, text string) error {
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
	return v.listening("Postgres", env, addrs)
}

// URLListening looks at the host of an HTTP URL; one that can't be read is left to the client.
func (v *Env) URLListening(what, env, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || proxied(u) {
		return nil //nolint:nilerr // the client says what is wrong with it
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
	}
	return v.listening(what, env, []string{net.JoinHostPort(u.Hostname(), port)})
}

// proxied reports whether the environment sends requests to a URL through a proxy: then its host need not be in reach.
func proxied(u *url.URL) bool {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return err != nil || proxy != nil
}

// NeedEngine refuses to look at an engine of which nothing listens, or nothing is known.
func (v *Env) NeedEngine(admin []string) error {
	if len(admin) > 0 && v.Value(EnvAdminURL) == "" {
		return nil // processes were named: they are asked
	}
	if v.Value(EnvBrokers) == "" && v.Value(EnvPostgres) == "" && v.Value(EnvRegistry) == "" && v.Value(EnvHTTP) == "" {
		return (&Error{Kind: KindFailed, What: "nothing is configured, so nothing was looked at", Code: event.CodeInvalidConfig}).
			Because("there is no engine in this folder (no %s), and no address is set", DefaultEnvFile).
			Hint("%s, which writes %s; from another folder add --env-file <its folder>/%s; or set and export %s, %s and %s", Start, DefaultEnvFile, DefaultEnvFile, EnvBrokers, EnvPostgres, EnvRegistry)
	}
	return v.engine()
}
