// Package catalogue is what operators do with schema files: read, check and register them.
//
// What is authoritative: the registry, for what producers may send; schemas/ of this version is what a new engine starts with.
package catalogue
