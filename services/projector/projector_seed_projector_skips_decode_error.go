//go:build seed_projector_skips_decode_error

package projector

// seedSkipsDecodeError is a bug on purpose: an event that cannot be decoded is passed over, so the tables silently lack it. The suite
// must catch it.
const seedSkipsDecodeError = true
