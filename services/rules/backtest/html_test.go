package backtest

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`

// All text that tenants write stands in the page as text, and the page loads nothing.
func TestHTML_ShowsHostileTextAsText(t *testing.T) {
	example := Example{At: day, Fact: evil, FactType: evil, FactSubject: evil, Kind: kindRule, Name: evil, Task: evil, Type: evil, Subject: evil, Fields: []FieldChange{{evil, evil, evil}}}
	r := Report{
		Tenant: evil, From: day, To: day.Add(time.Hour), Against: Bundle{Name: evil}, Candidate: Bundle{Name: evil}, Outcomes: evil,
		Facts:     Facts{Types: []TypeCount{{evil, 1}}, LeftOut: []TypeCount{{evil, 1}}, Answering: []TypeCount{{evil, 1}}},
		Decisions: []Decisions{{Kind: kindRule, Name: evil, Type: evil}}, Messages: []Messages{{evil, 1, Pair{1, 2}}}, Held: []Held{{evil, evil, evil, Pair{}}}, Commands: []Commands{{evil, Pair{5, 0}}},
		Assignments: []Assignment{{evil, evil, Pair{0, 7}}}, Open: []Open{{evil, Pair{}}}, Failures: []Failures{{evil, evil, evil, Pair{}}},
		Examples: Examples{Added: []Example{example}, Removed: []Example{example}, Changed: []Example{example}},
	}
	b, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, bad := range []string{"<script", "<img", "http://", "https://", "src=", "href=", "url(", "@import"} {
		if strings.Contains(strings.ReplaceAll(text, "src=x onerror", ""), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if n := strings.Count(text, "&lt;script&gt;"); n < 30 {
		t.Errorf("%d hostile texts are shown", n)
	}
	if !strings.Contains(text, "default-src 'none'") || strings.Count(text, "<svg") != 3 {
		t.Errorf("the page:\n%s", text)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the page is no document: %v", err)
		}
	}
}

func TestHTML_ChartsAreDrawnToScaleAndBounded(t *testing.T) {
	var days []Commands
	for i := range maxBars + 5 {
		days = append(days, Commands{day.AddDate(0, 0, i).Format(time.DateOnly), Pair{i, 2 * i}})
	}
	c, err := bars(days)
	if err != nil || len(c.Bars) != maxBars || c.More != 5 {
		t.Fatalf("%v: %d bars, %d more", err, len(c.Bars), c.More)
	}
	last := c.Bars[maxBars-1]
	if last.CandidateW != barWidth || last.AgainstW != barWidth/2 || c.Height != maxBars*2*(barHeight+2) {
		t.Errorf("%+v of height %d", last, c.Height)
	}
	if _, err := bars(7); err == nil {
		t.Error("a number is drawn")
	}
}

// What the terminal says below the tables stands in the page, too.
func TestHTML_SaysWhatTheTerminalSays(t *testing.T) {
	page := func(r Report) string {
		b, err := r.HTML()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	same := Report{Limit: 10, Decisions: []Decisions{{Same: 3}}, Commands: []Commands{{"2026-03-02", Pair{11, 10}}}}
	if text := page(same); !strings.Contains(text, "Nothing is decided differently.") || strings.Contains(text, "more than it takes") {
		t.Errorf("the same decisions:\n%s", text)
	}
	if text := page(Report{Open: []Open{{"w", Pair{0, 2}}}}); strings.Contains(text, "Nothing is decided differently.") || !strings.Contains(text, "What the candidate's 2 do after the end") {
		t.Errorf("two that wait:\n%s", text)
	}
	other := Report{Limit: 10, Decisions: []Decisions{{Added: 1}}, Commands: []Commands{{"2026-03-02", Pair{1, 11}}}}
	if text := page(other); strings.Contains(text, "Nothing is decided differently.") || !strings.Contains(text, "On 2026-03-02 the candidate gives the CRM 11 commands, more than it takes.") {
		t.Errorf("over the limit:\n%s", text)
	}
}
