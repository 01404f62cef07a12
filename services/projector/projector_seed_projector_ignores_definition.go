//go:build seed_projector_ignores_definition

package projector

// seedIgnoresDefinition is a bug on purpose: tables that another definition built are fed on and never built again, so old rows stay as that
// definition left them. The suite must catch it.
const seedIgnoresDefinition = true
