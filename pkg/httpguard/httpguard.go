// Package httpguard keeps web pages away from the engine's HTTP listeners. Every http.Server of the engine serves through New; a
// test of the house holds them to it.
//
// A browser sends requests from its own network for every page that it shows. Two attacks follow, and each has its check:
//
//   - a page of another site sends a request that changes something (a form, a text/plain fetch; neither asks for permission first).
//     Sec-Fetch-Site and Origin tell it, and the answer is 403. GET, HEAD and OPTIONS pass: they change nothing here, and the browser
//     keeps their answers from the page.
//   - a page lets its own name resolve to 127.0.0.1 or to an address inside (DNS rebinding) and then is of the same origin as the
//     engine, so that it can read answers too. Only the Host header tells it, and the answer is 421.
//
// Programs that are no browsers send neither Origin nor Sec-Fetch-Site and a Host that they were configured with; they notice nothing.
//
// Which Host is right depends on the listener. On loopback: a loopback name or address. Elsewhere: an IP address (a page that was
// loaded from an address has no name to rebind), a name without a dot or under .internal, .local, .localhost or .svc (no one can
// register one: compose and Kubernetes services have such), and the machine's own name. The names of --allowed-hosts come on top.
// /livez and /readyz answer to every Host on a listener that is not on loopback, for the sake of load balancers. No Host at all
// (HTTP/1.0) is no browser.
package httpguard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// Refuser is a handler with a form of its own for refusals: status is 403 or 421, why a sentence for people.
type Refuser interface {
	Refuse(w http.ResponseWriter, r *http.Request, status int, why string)
}

// Option changes a guard.
type Option func(*guard)

// Keyed says that every request needs a credential that no browser adds by itself, an API key: off loopback and without
// allowed hosts, every Host is right, so that a load balancer may pass on the name that its clients use.
func Keyed() Option { return func(g *guard) { g.keyed = true } }

type guard struct {
	next     http.Handler
	origin   *http.CrossOriginProtection
	loopback bool
	keyed    bool
	allowed  []string // lower case; ".example.com" stands for example.com and what is under it, "*" for every name
	own      string   // the machine's name
}

// New guards next, which is served on a listener of the address l; allowed are names that are accepted in addition, as
// CheckHosts accepts them. If next is a Refuser it writes the refusals.
func New(l net.Addr, allowed []string, next http.Handler, options ...Option) http.Handler {
	g := &guard{next: next, origin: http.NewCrossOriginProtection(), loopback: onLoopback(l)}
	for _, a := range allowed {
		g.allowed = append(g.allowed, canonical(a))
	}
	if name, err := os.Hostname(); err == nil {
		g.own = canonical(name)
	}
	for _, o := range options {
		o(g)
	}
	return g
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.hostIsRight(r) {
		g.refuse(w, r, http.StatusMisdirectedRequest, fmt.Sprintf("this server does not answer to the host name %.100q; if clients shall use it, add it to --allowed-hosts", hostOf(r.Host)))
		return
	}
	if err := g.origin.Check(r); err != nil {
		g.refuse(w, r, http.StatusForbidden, "a page of another site may change nothing here: Origin or Sec-Fetch-Site says that the request comes from one")
		return
	}
	g.next.ServeHTTP(w, r)
}

func (g *guard) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	if own, ok := g.next.(Refuser); ok {
		own.Refuse(w, r, status, why)
		return
	}
	http.Error(w, why, status)
}

func (g *guard) hostIsRight(r *http.Request) bool {
	if r.Host == "" {
		return true
	}
	host := hostOf(r.Host)
	if g.isAllowed(host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if g.loopback {
		return err == nil && addr.Unmap().IsLoopback() || err != nil && (host == "localhost" || strings.HasSuffix(host, ".localhost"))
	}
	if g.keyed && len(g.allowed) == 0 {
		return true
	}
	if (r.URL.Path == "/livez" || r.URL.Path == "/readyz") && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return true
	}
	return err == nil || !strings.Contains(host, ".") || host == g.own || reserved(host)
}

// reserved reports whether the name cannot be registered in the public DNS.
func reserved(host string) bool {
	for _, suffix := range []string{".internal", ".local", ".localhost", ".svc"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

func (g *guard) isAllowed(host string) bool {
	for _, a := range g.allowed {
		if a == "*" || a == host || strings.HasPrefix(a, ".") && (host == a[1:] || strings.HasSuffix(host, a)) {
			return true
		}
	}
	return false
}

// hostOf is the name or address of a Host header, without port and brackets, in lower case. What is malformed stays as it is, which no
// rule takes for right.
func hostOf(hostport string) string {
	host := hostport
	if h, port, err := net.SplitHostPort(hostport); err == nil && strings.Trim(port, "0123456789") == "" {
		host = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return canonical(host)
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func onLoopback(l net.Addr) bool {
	if l == nil {
		return false
	}
	if l.Network() == "unix" {
		return true
	}
	ap, err := netip.ParseAddrPort(l.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// CheckHosts names every entry that is no allowed host: a name or address without scheme and port, ".example.com" for a domain and
// all under it, or "*".
func CheckHosts(allowed []string) error {
	var errs []error
	for _, a := range allowed {
		name := strings.TrimPrefix(a, ".")
		if _, err := netip.ParseAddr(a); err == nil || a == "*" {
			continue
		}
		if name == "" || len(name) > 253 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.HasPrefix(name, ".") {
			errs = append(errs, fmt.Errorf("--allowed-hosts: %q is no host name (without scheme and port; .example.com for all under it; * for every name)", a))
		}
	}
	return errors.Join(errs...)
}
