package ruleset

import (
	"fmt"
	"io"
)

// readBounded reads at most one byte more than a file may have, so that a wrong path (a disk image, /dev/zero) costs nothing and
// the size is still reported by Compile.
func readBounded(f io.ReadCloser) (string, error) {
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	return string(b), nil
}
