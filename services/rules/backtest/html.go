package backtest

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// page writes the report as one document. html/template escapes all text of tenants by where it stands.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
	"bars": bars,
	"plus": func(a, b int) int { return a + b },
}).Parse(pageText))

// HTML is the report as one page: tables, and charts as inline SVG. It has no scripts, and loads nothing.
func (r Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	if err := page.Execute(&b, &r); err != nil {
		return nil, fmt.Errorf("write the page of a backtest: %w", err)
	}
	return b.Bytes(), nil
}

// Sizes of a chart, in pixels.
const (
	barHeight = 18
	barWidth  = 480
	maxBars   = 60
)

// bar is one line of a chart: two bars, for either timeline.
type bar struct {
	Label      string
	Y, Y2      int
	Against    int
	Candidate  int
	AgainstW   int
	CandidateW int
}

// chart is what a template draws.
type chart struct {
	Bars   []bar
	Height int
	More   int // that are left out
}

// bars draws the rows of a part of the report, at most 60.
func bars(rows any) (chart, error) {
	var c chart
	add := func(label string, p Pair) {
		if len(c.Bars) == maxBars {
			c.More++
			return
		}
		y := len(c.Bars) * 2 * (barHeight + 2)
		c.Bars = append(c.Bars, bar{Label: label, Y: y, Y2: y + barHeight, Against: p.Against, Candidate: p.Candidate})
	}
	switch rows := rows.(type) {
	case []Messages:
		for _, m := range rows {
			add(fmt.Sprintf("%s %02d:00", m.Channel, m.Hour), m.Pair)
		}
	case []Commands:
		for _, d := range rows {
			add(d.Day, d.Pair)
		}
	case []Assignment:
		for _, a := range rows {
			add(strings.TrimPrefix(a.Pool+": "+a.Member, ": "), a.Pair)
		}
	default:
		return c, fmt.Errorf("no chart of %T", rows)
	}
	highest := 1
	for _, b := range c.Bars {
		highest = max(highest, b.Against, b.Candidate)
	}
	for i := range c.Bars {
		b := &c.Bars[i]
		b.AgainstW, b.CandidateW = b.Against*barWidth/highest, b.Candidate*barWidth/highest
	}
	c.Height = len(c.Bars) * 2 * (barHeight + 2)
	return c, nil
}
