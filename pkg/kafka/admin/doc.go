// Package admin asks a cluster about topics, offsets, groups, disks, users and rights, and changes them. It decides nothing: what should be
// there is in package topology, which offsets a reset writes in package reset.
package admin
