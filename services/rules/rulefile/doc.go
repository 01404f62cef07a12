// Package rulefile reads the files of a bundle: YAML that is strict about keys, kinds and sizes, and CEL expressions in it. What a file
// means is known to ruleset, and to the other packages of kinds of files.
//
// How it fails: a Reader notes every problem with its line, a stable code and what to write instead, and goes on with what can be read.
package rulefile
