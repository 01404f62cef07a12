//go:build !seed_archiver_commits_first

package archiver

const seedCommitsFirst = false
