// Package logrepair repairs the log itself: it ends transactions that nobody will end, and rebuilds a lost log from the archive
// (services/neuronx/reseed).
package logrepair
