package cli

import (
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
)

func TestFit_CutsTextBeforeNamesAndNamesInTheirMiddle(t *testing.T) {
	header := []string{"SEQUENCE", "TYPE", "DATA", "ID"}
	rows := [][]string{{"12", "lead.created", `{"email": "ada@example.com", "name": "Ada Lovelace", "score": 75}`, "01a22aa6-818b-787f-9c5c-d1ac167df6ed"}}
	head, out, left := fit(header, rows, 80)
	if len(head) != 4 || len(left) != 0 || out[0][0] != "12" || out[0][1] != "lead.created" {
		t.Errorf("%q %q %q", head, out, left)
	}
	if !strings.HasSuffix(out[0][2], "…") || !strings.HasPrefix(out[0][2], `{"email": "ada`) {
		t.Errorf("data: %q", out[0][2])
	}
	_, out, _ = fit(header, rows, 60)
	if id := out[0][3]; !strings.HasPrefix(id, "01a2") || !strings.HasSuffix(id, "f6ed") || !strings.Contains(id, "…") {
		t.Errorf("id: %q", id)
	}
	if _, out, left := fit(header, rows, 0); out[0][2] != rows[0][2] || left != nil {
		t.Error("without a width something is cut")
	}
}

func TestFit_NoLineIsWiderWhateverItHolds(t *testing.T) {
	cells := []string{"", "x", strings.Repeat("y", 300), "a sentence of some words " + strings.Repeat("z", 90), strings.Repeat("李", 60), "└─ lead.scored", strings.Repeat("e\u0301", 70)}
	for _, width := range []int{40, 80, 120} {
		for n := 1; n <= 12; n++ {
			header, row := make([]string, n), make([]string, n)
			for i := range n {
				header[i], row[i] = "COLUMN", cells[(i*5+n)%len(cells)]
			}
			head, out, left := fit(header, [][]string{row}, width)
			used := 2 * (len(head) - 1)
			for i := range head {
				used += max(text.StringWidthWithoutEscSequences(out[0][i]), len(head[i]))
			}
			if used > width || len(head)+len(left) != n {
				t.Errorf("%d columns in %d: %d wide: %q", n, width, used, out)
			}
		}
	}
}
