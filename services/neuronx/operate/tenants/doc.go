// Package tenants is what operators ask of tenants and do to them: create, suspend, resume and limit them, set their time zone, connect them
// to a CRM, give them access to Kafka, issue and revoke their API keys.
//
// What is authoritative: the tenant's stream. Every change is a signed event in it; the tables of tenants and keys that are read here are the
// projector's, and Behind says what they lack of the stream. A verb whose effect is in those tables waits until they have it.
package tenants
