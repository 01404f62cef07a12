package cli

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// minColumn is what a column is cut to at most, in characters: less says nothing.
const minColumn = 8

// minProse is what text and data are cut to before names are.
const minProse = 16

// Columns beyond keptColumns are left out before cells are cut shorter than a time is (timeColumn).
const (
	keptColumns = 4
	timeColumn  = 24
)

// columns is how wide a line of the output may be; 0: no bound. A pipe gets whole cells, so that cut, awk and grep find what they
// look for, unless COLUMNS says how wide the reader is.
func (c *cli) columns() int {
	if c.wide {
		return 0
	}
	if f := safetext.File(c.out); f != nil {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 { //nolint:gosec // a file descriptor fits
			return max(w, 40)
		}
	}
	if v, ok := c.source.Getenv("COLUMNS"); ok {
		if w, err := strconv.Atoi(v); err == nil && w > 0 {
			return max(w, 40)
		}
	}
	return 0
}

// labelWidth is the column in which what stands behind a label of `status` begins.
const labelWidth = 15

// say prints a sentence behind a label, and the command that helps, if there is one. At the width of a terminal the sentence is wrapped at words, and the
// command has a line of its own, whole, so that it can be copied.
func (c *cli) say(label, sentence, next string) {
	label += ":"
	width := c.columns()
	if width <= 0 {
		if next != "" {
			sentence += "; " + next
		}
		printf(c.out, "%-*s%s\n", labelWidth, label, sentence)
		return
	}
	for _, line := range wrapped(sentence, width-labelWidth) {
		printf(c.out, "%-*s%s\n", labelWidth, label, line)
		label = ""
	}
	if next != "" {
		printf(c.out, "%-*s%s\n", labelWidth, "", next)
	}
}

// whole prints, below a table of a terminal's width, a row whose text had no room in it.
func (c *cli) whole(name, detail, next string) {
	const indent = 2
	width := c.columns()
	if cells := name + detail + next; width <= 0 || text.StringWidthWithoutEscSequences(safetext.Text(cells))+2*indent < width/2 {
		return
	}
	printf(c.out, "\n%s\n", name)
	for _, line := range wrapped(detail, width-indent) {
		printf(c.out, "%*s%s\n", indent, "", line)
	}
	switch {
	case next == "":
	case strings.HasPrefix(next, "neuronx "):
		printf(c.out, "%*snext: %s\n", indent, "", next)
	default:
		for _, line := range wrapped("next: "+next, width-indent) {
			printf(c.out, "%*s%s\n", indent, "", line)
		}
	}
}

// wrapped breaks a sentence at words into lines of at most so many columns.
func wrapped(sentence string, width int) []string {
	lines := strings.Split(text.WrapSoft(safetext.Text(operate.OneLine(sentence)), width), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// fit cuts the cells of a table to the width of the output and returns the names of the columns that had to be left out. Text and data
// are cut before names, and of these the widest first, so that numbers and states stay whole; when even short cells do not fit, the
// last columns go, as tables have what matters first. It is pure.
func fit(header []string, rows [][]string, width int) (head []string, out [][]string, left []string) {
	if width <= 0 {
		return header, rows, nil
	}
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = text.StringWidthWithoutEscSequences(h)
		for _, r := range rows {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(r[i]))
		}
	}
	n := len(header)
	for n > keptColumns && least(header[:n], widths, timeColumn) > width || n > 1 && least(header[:n], widths, minColumn) > width {
		n--
	}
	prose := make([]bool, n)
	for _, r := range rows {
		for i := range n {
			prose[i] = prose[i] || operate.Sentence(r[i])
		}
	}
	shrink(widths[:n], width, func(i int) int { // text and data first: names and times say more whole
		if prose[i] {
			return max(floor(header[i]), minProse)
		}
		return widths[i]
	})
	shrink(widths[:n], width, func(i int) int { return floor(header[i]) })
	out = make([][]string, len(rows))
	for i, r := range rows {
		out[i] = make([]string, n)
		for j := range n {
			out[i][j] = operate.Cut(r[j], widths[j])
		}
	}
	return header[:n], out, header[n:]
}

// shrink takes from the widest column until the line fits, or every column is at its floor.
func shrink(widths []int, width int, floor func(i int) int) {
	for total(widths) > width {
		widest := -1
		for i := range widths {
			if widths[i] > floor(i) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func floor(header string) int { return max(minColumn, utf8.RuneCountInString(header)) }

// least is the width of a table whose columns are cut as far as they may be.
func least(header []string, widths []int, shortest int) int {
	short := make([]int, len(header))
	for i, h := range header {
		short[i] = min(widths[i], max(floor(h), shortest))
	}
	return total(short)
}

// total is the width of a table's line: two blanks between columns.
func total(widths []int) int {
	sum := 2 * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}
