package importer

import (
	"fmt"
	"strings"
)

// didYouMean names the known name that is most like name, as a part of a sentence; "" if none is.
func didYouMean(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}

// nearest is the known name that a person who wrote name most likely meant: the same but for case, spaces and separators, or else with
// at most two letters wrong, and at most a third of them. "" if there is none.
func nearest(name string, known []string) string {
	plain := letters(name)
	best, least := "", 3
	for _, k := range known {
		other := letters(k)
		if other == plain && plain != "" {
			return k
		}
		if d := distance(plain, other, least); d < least && 3*d <= max(len(plain), len(other)) {
			best, least = k, d
		}
	}
	return best
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" _-.\u00a0\ufeff", r) {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(s)))
}

// distance counts the letters that must be changed, added, dropped or swapped with the next one to make b of a (restricted
// Damerau-Levenshtein); most, if there are at least so many.
func distance(a, b string, most int) int {
	if len(a) > 64 || len(b) > 64 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	var before, last, row [65]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return min(most, last[len(b)])
}
