// Package ruleset reads rule files, checks them and compiles them to what the rules service evaluates.
//
// A rule file is YAML, one rule a file:
//
//	apiVersion: neuronx/v1
//	kind: Rule
//	metadata:
//	  name: qualify                     # a-z, 0-9 and hyphen; the rule's identity
//	spec:
//	  on: [lead.scored]                 # event types; never engine.*
//	  origins: [live]                   # the default; import, backfill and redrive may be asked for
//	  when: data.score >= 50            # CEL, gives true or false; without it, always
//	  emit:
//	    - type: lead.qualified
//	      subject: event.subject        # CEL; the default is the event's own subject
//	      data:
//	        lead_id: data.lead_id       # CEL, one expression a field of the type's schema
//	  set:
//	    score: data.score               # CEL; state of (tenant, subject) for later events; null removes the key
//
// A rule may also give its key to a member of a pool, whom emit and set see as vars.owner, and count events about the subject of the events that it hears:
//
//	key: data.lead_id                 # CEL; the default is the event's subject
//	assign: {pool: sales, as: owner, except: "[]", or: '"manager"'}
//	windows:
//	  calls: {on: [activity.recorded], when: data.kind == "call", over: P7D, distinct: data.channel}
//
// Expressions see event (the envelope, expr.EventFields), data (the fields of the event's schema) and state (what rules set for this
// tenant and subject before this event). All rules of an event see the same state; when two set the same key, the rule whose name
// sorts last wins.
//
// Besides rules, a bundle holds lookups and calendars (package tables), which expressions find by their names through Set.Reference. Names are
// unique over all kinds. A bundle that uses neither is published under the semantics from before them (SemanticsOf).
//
// Authoritative are the bundle's texts, as they stand in the event rules.published: everything else here is derived from them,
// the hash included. A bundle always replaces the whole set of a tenant.
//
// How it fails: Parse and Validate answer every problem at once, each with a stable code, file, line and what to write instead.
// Compile, which the service uses on a published bundle, needs no schemas: whether an emitted field fits is checked again when an
// event is derived.
package ruleset
