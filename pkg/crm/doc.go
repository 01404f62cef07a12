// Package crm has the words in which the engine speaks of every CRM, and the contract that an adapter for one fulfils (Adapter). It is pure.
//
//	command ─> Gate.Ends ─> Adapter.Next ─> Step ─┬─ Call  ─> sent by the core ─┐
//	            (core)          ^                 ├─ Adopt ─> the ledger        ├─> Exchange, added to Work.Trail
//	                            │                 ├─ Whose ─> the ledger        │
//	                            │                 └─ End   ─> ledger, outcome   │
//	                            └───────────────────────────────────────────────┘
//
// What is authoritative: nothing here; package ledger says what was and may have been sent.
//
// Packages: ledger keeps effects, attempts and links; effects is the loop that reads the log, sends and tells; transport is the HTTP client; pace
// says how fast an account may be asked; gohighlevel is an adapter.
//
// How it fails: an adapter that errs can't send twice what may be sent once: the core accepts another try only where it is proven that nothing
// was acted upon.
package crm
