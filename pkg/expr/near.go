package expr

// Nearest is the name that a misspelt one most likely stands for; empty when none is near. Of equally near ones it is the first in order.
func Nearest(name string, names []string) string {
	best, least := "", 2+len(name)/6 // one more than is near enough
	for _, n := range names {
		if d := distance(name, n, least); d < least || d == least && best != "" && n < best {
			best, least = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions and exchanges between two texts (Levenshtein, 1965); it may stop counting at most.
func distance(a, b string, most int) int {
	if max(len(a)-len(b), len(b)-len(a)) > most || max(len(a), len(b)) > 200 {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}

// clip keeps what others wrote short in messages.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
