//go:build !seed_progress_without_cas

package consumer

const seedProgressWithoutCAS = false
