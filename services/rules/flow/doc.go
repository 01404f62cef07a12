// Package flow reads workflow and contact policy files of a bundle, checks them and compiles them to immutable programs.
package flow
