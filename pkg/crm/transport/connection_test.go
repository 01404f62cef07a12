package transport

import (
	"strings"
	"testing"
)

func TestCheckTenantURL_TakesOnlyWhatMayBeRecordedForEver(t *testing.T) {
	for _, good := range []string{
		"https://services.leadconnectorhq.com", "https://services.leadconnectorhq.com/", "https://crm.example.com:8443/v2", "https://crm.example.com/v2/",
		"HTTPS://CRM.Example.com", "https://8.8.8.8", "https://[2606:4700::1111]:443", "http://127.0.0.1:18090", "http://localhost:18090", "http://[::1]:1", "https://127.0.0.1", "https://crm.example.com.",
	} {
		if err := CheckTenantURL(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "x", "crm.example.com", "//crm.example.com", "https:crm.example.com", "mailto:a@example.com", "https://", "https://:443", "https:///v2",
		"http://crm.example.com", "ftp://crm.example.com", "file:///etc/passwd", "gopher://127.0.0.1", "javascript:alert(1)", "unix:///var/run/docker.sock",
		"https://user:hunter2@crm.example.com", "https://hunter2@crm.example.com", "https://@crm.example.com", "https://a:@crm.example.com", "http://127.0.0.1:hunter2@crm.example.com",
		"https://crm.example.com?key=hunter2", "https://crm.example.com?", "https://crm.example.com#", "https://crm.example.com/#hunter2",
		"https://crm.example.com:0", "https://crm.example.com:", "https://crm.example.com:65536", "https://crm.example.com:x",
		"https://crm.example.com/a/../b", "https://crm.example.com//a", "https://crm.example.com/%2e%2e", "https://crm.example.com/a%00", "https://crm.example.com/./a",
		"https://10.0.0.1", "https://192.168.1.1", "https://172.16.0.1", "https://169.254.169.254", "http://169.254.169.254/", "https://100.64.0.1", "https://0.0.0.0", "https://[fd00::1]",
		"https://[fe80::1%25eth0]", "https://[::ffff:10.0.0.1]", "https://[64:ff9b::7f00:1]", "https://[::]", "https://2130706433", "https://127.1", "https://0x7f.0.0.1", "https://0177.0.0.01", "https://0x7f000001",
		"https://metadata.google.internal", "https://metadata", "https://kubernetes.default.svc", "https://printer.local", "https://x.localhost",
		"https://crm.example.com\n", " https://crm.example.com", "https://crm.example.com/a b", "https://crm.exa\x00mple.com", "https://crm.ex\u202eample.com", "https://crmé.example.com",
		"https://crm.example.com\\@evil.example", "https://-crm.example.com", "https://crm..example.com", "https://crm_x.example.com", "https://" + strings.Repeat("a", 600) + ".example.com",
		"https://*.example.com", "https://crm.example.com,evil.example",
	} {
		err := CheckTenantURL(bad)
		if err == nil {
			t.Errorf("%q passes", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the secret is repeated: %v", bad, err)
		}
	}
}
