//go:build seed_archiver_commits_first

package archiver

// seedCommitsFirst is a planted bug: progress is committed before the rows are written. Tests must catch it.
const seedCommitsFirst = true
