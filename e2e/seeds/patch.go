package seeds

import (
	"errors"
	"fmt"
	"strings"
)

// change is what a patch does to one file.
type change struct {
	file  string // slash-separated, from the repository's root
	hunks []hunk
}

// hunk replaces one stretch of lines, context included.
type hunk struct{ before, after string }

// parse reads a unified diff. Lines above the first file are its explanation.
func parse(patch string) ([]change, error) {
	var changes []change
	var hunks *[]hunk
	inHunk := false
	for line := range strings.SplitSeq(strings.TrimSuffix(patch, "\n"), "\n") {
		file, isFile := strings.CutPrefix(line, "+++ b/")
		switch {
		case isFile:
			changes = append(changes, change{file: file})
			hunks, inHunk = &changes[len(changes)-1].hunks, false
		case strings.HasPrefix(line, "--- a/"):
			inHunk = false
		case strings.HasPrefix(line, "@@ ") && hunks != nil:
			*hunks = append(*hunks, hunk{})
			inHunk = true
		case inHunk:
			h := &(*hunks)[len(*hunks)-1]
			switch {
			case line == "", line[0] == ' ': // editors take the blank of an empty line away
				text := strings.TrimPrefix(line, " ") + "\n"
				h.before, h.after = h.before+text, h.after+text
			case line[0] == '-':
				h.before += line[1:] + "\n"
			case line[0] == '+':
				h.after += line[1:] + "\n"
			default:
				return nil, fmt.Errorf("%q is no line of a unified diff", line)
			}
		case hunks != nil:
			return nil, fmt.Errorf("%q stands between a file's name and its first hunk", line)
		}
	}
	if len(changes) == 0 {
		return nil, errors.New("it changes no file")
	}
	for _, c := range changes {
		if len(c.hunks) == 0 {
			return nil, fmt.Errorf("it changes nothing in %s", c.file)
		}
	}
	return changes, nil
}

// apply is text after the change. What a hunk takes out must be there once: then it cannot hit another place than its author meant.
func (c change) apply(text string) (string, error) {
	for _, h := range c.hunks {
		if h.before == h.after {
			return "", fmt.Errorf("a hunk changes nothing in %s:\n%s", c.file, h.before)
		}
		// Whole lines, so from behind a line's end; two of them may overlap.
		text = "\n" + text
		at, n := 0, 0
		for i := range len(text) {
			if strings.HasPrefix(text[i:], "\n"+h.before) {
				at, n = i, n+1
			}
		}
		if n != 1 {
			return "", fmt.Errorf("%s has these lines %d times, not once; bring the patch up to date with the product:\n%s", c.file, n, h.before)
		}
		text = text[1:at+1] + h.after + text[at+1+len(h.before):]
	}
	return text, nil
}
