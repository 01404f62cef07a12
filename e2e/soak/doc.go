// Package soak is what the long proof on three brokers is made of: faults of brokers and connections, and a watch that reads the topics
// along, probes every partition, and says how long after a fault each of them works again.
//
// A fault is one thing that goes wrong. It strikes, proves that it has, and heals. What it needs for itself (the brokers, one process)
// is taken while it lasts, so that no two faults take the same thing: with two of three brokers gone nothing is promised.
//
// The watch is right about what it has read; it reads committed records only, and after it was made. Its probes are events like any
// other, with a history of their own.
package soak
