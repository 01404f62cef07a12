// Package app is the frame that every process of the engine runs in: flags, environment and file into settings; a logger; metrics
// and health on the admin port; signals; and the one lifecycle primitive, Group.
//
// A service is a Service value: its flags and its Run. Main runs one as a process; `neuronx dev` runs several in one process by
// calling their Run with Runtimes of its own. A service does not know which of the two it is in.
//
// Shutdown: at SIGTERM or SIGINT the process turns not ready; at once, or after --drain-delay, the context that Run was given ends, and Run
// stops intake, finishes what it holds and returns. A second signal exits at once with status 1.
package app
