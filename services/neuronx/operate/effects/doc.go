// Package effects is what operators ask of effects in the CRM, and how they decide those whose outcome nobody knows.
//
// What is authoritative: the adapter's ledger, which the tenant's stream fills. A decision is a signed event; Resolve waits until the adapter has
// taken it in, and reports when it changed nothing.
package effects
