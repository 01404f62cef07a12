// Package flow reads workflow and contact policy files of a bundle, checks them and compiles them to immutable programs.
//
// Parse and ParsePolicy read one file and need no schemas, so that a published bundle compiles without a registry. Validate checks programs
// before they are published: every expression against the types of the events and variables that it sees, events against their schemas,
// and names of calendars and pools. Loops finds workflows and rules that start each other.
//
// Tasks are named and nested as in the CNCF Serverless Workflow DSL 1.0; values are CEL, and {text: "Hi ${vars.name}"} is a template.
//
// How it fails: every problem is told at once, each with its line, a stable code and what to write instead. A Program of a file with
// problems is only for Validate; it must not be run.
package flow
