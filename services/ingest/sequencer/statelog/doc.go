// Package statelog reads neuronx.sequencer.state, of which package admission packs the records, and seals them.
//
// Others can write to the topic, and must not stop a partition with it: a record is the sequencer's if it was written in a transaction
// and its seal, made with the engine's signing keys, is valid and is not a copy. Load folds the records of a partition and names the others;
// Ledgers, LastNumbers, AllNumbers and Strays do so for an operator, up to the last stable offset.
package statelog
