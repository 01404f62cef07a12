package standin

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// raw sends an upsert of one contact and gives the answer as it came, neither followed nor inflated.
func (r *rig) raw(f Fault) (int, http.Header, []byte) {
	r.t.Helper()
	if err := r.s.AddFault(f); err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, r.url+"/contacts/upsert", strings.NewReader(`{"locationId":"locA","email":"a@b.co"}`))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer tok-a"}, "Version": {"2021-07-28"}, "Content-Type": {"application/json"}, "Accept-Encoding": {"identity"}}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b
}

func TestFaults_EachSpoilsTheAnswerAndSaysWhetherItApplied(t *testing.T) {
	for name, c := range map[string]struct {
		fault   Fault
		status  int
		applied bool
		check   func(h http.Header, body []byte) bool
	}{
		"half": {Fault{Kind: "half"}, 200, true, func(_ http.Header, b []byte) bool {
			return strings.HasPrefix(string(b), `{"`) && !json.Valid(b)
		}},
		"stored": {Fault{Kind: "stored"}, 422, true, func(_ http.Header, b []byte) bool {
			var out struct{ Message []string }
			return json.Unmarshal(b, &out) == nil && len(out.Message) == 1
		}},
		"bare429": {Fault{Kind: "bare429"}, 429, false, func(h http.Header, b []byte) bool {
			for k := range h {
				if strings.HasPrefix(strings.ToLower(k), "x-ratelimit") || k == "Retry-After" {
					return false
				}
			}
			return len(b) == 0
		}},
		"html with 200": {Fault{Kind: "html", Status: 200}, 200, false, func(h http.Header, b []byte) bool {
			return h.Get("Content-Type") == "text/html" && strings.HasPrefix(string(b), "<html>")
		}},
		"redirect inside": {Fault{Kind: "redirect"}, 302, false, func(h http.Header, _ []byte) bool {
			return strings.HasPrefix(h.Get("Location"), "http://169.254.169.254/")
		}},
		"drip": {Fault{Kind: "drip", DelayMS: 1}, 200, true, func(_ http.Header, b []byte) bool { return json.Valid(b) }},
		"gzip": {Fault{Kind: "gzip", Bytes: 64 << 20}, 200, false, func(h http.Header, b []byte) bool {
			z, err := gzip.NewReader(strings.NewReader(string(b)))
			if err != nil || h.Get("Content-Encoding") != "gzip" || len(b) > 1<<20 {
				return false
			}
			n, err := io.Copy(io.Discard, z)
			return err == nil && n == 64<<20
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{})
			status, header, body := r.raw(c.fault)
			if status != c.status || !c.check(header, body) {
				t.Fatalf("%d, %v, %.300q", status, header, body)
			}
			if stored := len(r.s.Contacts("locA")) == 1; stored != c.applied {
				t.Errorf("stored: %v, want %v", stored, c.applied)
			}
			if e := r.s.Requests(0, "locA")[0]; e.Applied != c.applied || e.Fault != c.fault.Kind {
				t.Errorf("logged %+v", e)
			}
		})
	}
}

func TestFaults_AWrongIdNamesNothing(t *testing.T) {
	r := start(t, Config{})
	_, _, body := r.raw(Fault{Kind: "wrong_id"})
	var out struct{ Contact struct{ ID string } }
	if err := json.Unmarshal(body, &out); err != nil || len(out.Contact.ID) != 20 {
		t.Fatalf("%v, %s", err, body)
	}
	if have := r.s.Contacts("locA"); len(have) != 1 || have[0].ID == out.Contact.ID {
		t.Fatalf("%v is the id of the contact", out.Contact.ID)
	}
}

func TestFaults_AShareOfTheRequests(t *testing.T) {
	faults := []*Fault{{Kind: "close", Share: 0.05, Count: -1}}
	hits := 0
	for range 10_000 {
		var f *Fault
		if f, faults = pick(faults, "locA", "GET", "/contacts/x"); f != nil {
			hits++
		}
	}
	if hits < 300 || hits > 700 { // 500 ± 9 standard deviations
		t.Errorf("%d of 10,000 were spoilt, want about 500", hits)
	}
	if err := (&Fault{Kind: "close", Share: 1.5}).check(); err == nil {
		t.Error("a share of 150 % was taken")
	}
}
