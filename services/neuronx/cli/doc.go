// Package cli is the operators' tool: `neuronx <noun> <verb>`. It is an edge: it
// parses flags, calls services/neuronx/operate, and prints.
//
// Data goes to stdout, as a table or as JSON (-o json, a stable form);
// everything else, progress and errors, goes to stderr. Exit codes:
//
//	0  done
//	1  failed
//	2  called wrongly
//	3  done in part (some items were refused)
//	4  refused as unsafe
//
// Verbs that change what exists only show what they would do until --execute.
// publish and import, which hand on facts of somebody else's, act at once and say
// so. What nobody answers for is said first, an unknown name exits 1 with the one
// that was probably meant, and "none" names what was looked for.
//
// It is an edge: a command parses flags, calls a function of
// services/neuronx/operate or of a package below it, and prints what that returns.
// What may be asked and done is decided there, for every edge; there is no SQL
// here.
//
// More than fifteen files: each command has a file of its own.
//
// Settings come from flags, then the environment (NEURONX_…), then the file that
// --env-file names; `neuronx dev` leaves one in .neuronx/dev.env, which is read
// when it is there.
package cli
