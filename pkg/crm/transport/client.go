package transport

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 1 << 20

// Client sends requests to one host after another. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	timeout time.Duration
	agent   string
}

// New makes a client. agent is the User-Agent of its requests. trusted is the base URL that the operator configured: its addresses may be private (a stand-in on loopback).
// Every other host, which only a tenant's own setting can bring in, must resolve to public addresses at the moment of the dial.
func New(timeout time.Duration, trusted, agent string) *Client {
	trustedHost := ""
	if u, err := url.Parse(trusted); err == nil {
		trustedHost = dialHost(u)
	}
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second)}
	public := &net.Dialer{Timeout: dialer.Timeout, Control: refusePrivate}
	transport := &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == trustedHost {
				return dialer.DialContext(ctx, network, addr)
			}
			return public.DialContext(ctx, network, addr)
		},
		TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	return &Client{timeout: timeout, agent: agent, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func dialHost(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// ErrPrivate says that a host of a tenant's setting resolved to an address inside.
var ErrPrivate = errors.New("the address is not public")

// refusePrivate looks at the address that is really dialled, so that no spelling of it and no DNS answer gets around it.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !Public(ap.Addr()) {
		return ErrPrivate
	}
	return nil
}

var reserved = []netip.Prefix{ // RFC 6890 and later, what netip's predicates do not cover
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001:db8::/32"),
}

// Public reports whether an address is one of the open internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// CheckBaseURL refuses what is not a plain http(s) origin.
func CheckBaseURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("base URL can't be read")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return fmt.Errorf("base URL must be http(s)://host[:port]")
	}
	return nil
}

// Do sends one call. The deadline of ctx and the client's time-out hold for the whole exchange, the body included.
func (c *Client) Do(ctx context.Context, baseURL, token string, call crm.Call) crm.Answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, call.Method, strings.TrimSuffix(baseURL, "/")+call.Path, bytes.NewReader(call.Body))
	if err != nil {
		return crm.Answer{Err: errors.New("request can't be built"), NotSent: true}
	}
	if token != "" { // what asks for a token has none
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if call.Version != "" {
		req.Header.Set("Version", call.Version)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", cmp.Or(call.Type, "application/json"))
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.http.Do(req)
	if err != nil {
		return crm.Answer{Err: err, NotSent: !connected.Load()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a := crm.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Err: err}
	if len(body) > maxAnswer {
		a.Body, a.Cut = body[:maxAnswer], true
	}
	return a
}
