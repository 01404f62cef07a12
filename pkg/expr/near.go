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

// distance counts the insertions, deletions, exchanges and swaps of neighbours between two texts (Damerau, 1964). It does not count far
// beyond most.
func distance(a, b string, most int) int {
	if max(len(a)-len(b), len(b)-len(a)) > most || max(len(a), len(b)) > 200 {
		return most + 1
	}
	var before []int // the row before the last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// clip keeps what others wrote short in messages.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
