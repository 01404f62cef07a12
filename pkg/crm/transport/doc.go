// Package transport talks HTTP to a CRM: one request, one bounded answer, and the secret that opens the account.
//
// What is authoritative: nothing here; it decides nothing about effects.
//
// How it fails: every failure is in the answer (crm.Answer), with the proof that nothing was sent where there is one. Hosts come
// from the configuration alone, redirects are not followed, proxies of the environment are not used, answers are cut at 1 MiB and
// are not decompressed, and a whole exchange ends after the time-out. Tokens are read from files for each use and never logged.
package transport
