// Package fileschema describes the files of a bundle as JSON Schema (draft 2020-12), one schema a kind, so that editors complete and check
// them while they are written. docs/schema holds the schemas as they are generated here; a test tells when they are not.
//
// A schema knows keys, kinds of values and words. What expressions mean, which names exist and what fits an event is known to `rules
// validate` alone: what a schema takes may still be refused.
//
//go:generate go test . -run TestFiles -update
package fileschema
