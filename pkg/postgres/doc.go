// Package postgres opens pools, runs migrations and names the roles under which the services work.
//
// What is authoritative: the embedded migrations. Each set keeps its own version table neuronx.goose_<name>, and lies next to
// the package that owns the tables. Roles belong to the server, not to a database, so they are made if they are missing and
// never changed otherwise; schemas, tables and grants belong to the database.
//
//	neuronx_owner        no login; owns every schema, table and function; migrations run as it
//	neuronx_ingest …     one role a service; owns nothing, member of neuronx_reader, bound by row-level security
//	neuronx_reader       SELECT on the archive and on read.*, only rows of current_setting('neuronx.tenant')
//	neuronx_ops          the operators' CLI: SELECT of all tenants, and the verbs that its commands need
//
// How it fails: Migrate applies each file in its own transaction under an advisory lock, so a failed one leaves the files before
// it applied and itself not. Open refuses a role that row-level security does not bind. An unset tenant reads no rows.
package postgres
