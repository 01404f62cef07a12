// Package accounts is what operators do with tenants' accounts in CRMs: connect a tenant, replace its token, disconnect it, and see how accounts do.
//
// What is authoritative: the tenant's stream says which account it uses, and since when; the tables of grants (pkg/crm/grants) hold what opens it.
// A verb writes the grant first and the event second, so that no event names a token that is not there; what a verb did half is finished by the
// same verb, given again.
package accounts
