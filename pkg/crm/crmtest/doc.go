// Package crmtest is what every adapter for a CRM must hold to, as tests. An adapter calls Run from a test of its own.
//
// What is authoritative: the contract in package crm. These tests ask an adapter for steps over trails that no CRM would give, and hold each step
// against what the core relies on.
//
// How it fails: as tests do, with the trail that broke a rule.
package crmtest
