// Package load sends events over HTTP at a steady rate and writes down what became of each, in a history that the checker reads. It
// behaves as a careful client does: an answer that does not come, or 429 and 503, is tried again with the same ids, and what is
// still open when the run ends is of unknown outcome.
package load
