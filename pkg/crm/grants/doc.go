// Package grants keeps what opens tenants' accounts in CRMs.
//
// What is authoritative: the tables neuronx.crm_grants and neuronx.crm_tokens. A grant is one account's, the holder's, such as location/abc; its
// tokens are sealed by pkg/vault in a row a version, bound to adapter, holder and version, so that no row opens in the place of another. The event
// tenant.crm_connected says which tenant uses which account, and names its token by a reference: secret://<location>@grant is the grant's,
// every other one is a file (pkg/crm/transport).
//
// Operators' role writes tokens and can't read them; the adapter's role reads its own.
//
// A grant goes through these states:
//
//	(none) ── connect ──> active ── revoked by the CRM, or disconnected ──> revoked
//	                        │ ^ ^                                              │
//	        refused for good│ │ └────────────── connect ───────────────────────┘
//	                        v │
//	                    needs_consent
//
// Parts: grant.go, store.go and source.go keep grants and find tokens; ticket.go and consent.go are a person's consent; refresh.go is the keeper.
//
// A version is never used again: each change of the tokens takes the next one, and a change holds the row.
//
// # How it fails
//
//   - A token that was replaced is refused: the version before it serves for the time that was agreed (fallback_until), and a log line says so.
//   - A sealed token does not open, because its key is not in the keyset or the row was changed: the account's effects wait, and say why.
//   - An account belongs to one tenant. Another one is refused (ErrTaken) until the grant is revoked.
package grants
