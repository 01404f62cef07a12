//go:build !seed_projector_skips_decode_error

package projector

const seedSkipsDecodeError = false
