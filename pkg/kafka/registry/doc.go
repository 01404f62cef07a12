// Package registry finds schemas by id, type and fingerprint, pushes the catalogue, and holds the embedded registry.
package registry
