package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// maxTenantURL bounds a base URL of a tenant's connection, in bytes.
const maxTenantURL = 512

var hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckTenantURL refuses a base URL that a tenant's connection must not have. It is asked before a connection is recorded, which is for
// ever, and again before a request is sent, for what was recorded by earlier versions. A URL is
// https://host[:port][/path], where host is a name of the public DNS or a public address; a loopback host may have http, too: a
// stand-in on one's own machine. An error says what is wrong and never repeats the URL, in which a password may stand. Names are
// resolved when they are dialled, where addresses inside are refused again.
func CheckTenantURL(s string) error {
	if s == "" || len(s) > maxTenantURL {
		return fmt.Errorf("it is empty or longer than %d bytes", maxTenantURL)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '\\' }) {
		return errors.New("it has blanks, backslashes, control characters or others that are not ASCII")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Opaque != "":
		return errors.New("it is no URL such as https://host[:port]")
	case u.User != nil:
		return errors.New("it has a user or password in it, which would be recorded for ever; the token is a secret of its own")
	case strings.ContainsAny(s, "?#"):
		return errors.New("it has a query or a fragment")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("its scheme is not https")
	case u.Hostname() == "":
		return errors.New("it has no host")
	case u.Path != "" && u.Path != "/" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") || u.RawPath != "" || strings.Contains(s, "%"):
		return errors.New("its path has escapes, empty parts or dots")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("its port is not 1 to 65535")
		}
	}
	loopback, err := checkHost(strings.ToLower(u.Hostname()))
	if err == nil && u.Scheme == "http" && !loopback {
		err = errors.New("its scheme is http: the token would go over the network in the clear; only a loopback host may have it")
	}
	return err
}

// checkHost refuses hosts that are inside for sure, except loopback.
func checkHost(host string) (loopback bool, err error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Unmap().IsLoopback() {
			return true, nil
		}
		if !Public(a) {
			return false, errors.New("its address is not public")
		}
		return false, nil
	}
	host = strings.TrimSuffix(host, ".")
	if host == "localhost" {
		return true, nil
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case len(host) > 253 || !hostname.MatchString(host):
		return false, errors.New("its host is no name")
	case strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x"):
		return false, errors.New("its host is an address in another spelling") // 127.1, 2130706433, 0x7f.0.0.1: resolvers take them
	case last == host, last == "internal", last == "local", last == "localhost", last == "svc":
		return false, errors.New("its host is no name of the public DNS")
	}
	return false, nil
}
