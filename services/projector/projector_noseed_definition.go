//go:build !seed_projector_ignores_definition

package projector

const seedIgnoresDefinition = false
