// Package backoff says how long to wait before something that failed is tried again. It only computes: who waits has a context, and maybe
// something else that ends the wait.
package backoff

import "time"

// Doubling is the pause after the failed attempt of that number, counted from 0: first, then twice as long each time, at most most.
func Doubling(first, most time.Duration, attempt int) time.Duration {
	for ; attempt > 0 && first < most; attempt-- {
		first *= 2
	}
	return min(first, most)
}
