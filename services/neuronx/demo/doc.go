// Package demo is the tenant that `neuronx dev` shows: its rules, and people who were never there posting themselves as leads over HTTP.
package demo
