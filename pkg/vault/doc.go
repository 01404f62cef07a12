// Package vault seals small secrets, such as the tokens of CRM accounts, so that they can be stored in Postgres: a dump, a backup or a reader of
// the table has nothing without the keyset.
//
// What is authoritative: the keyset, a Tink keyset of AES-256-GCM keys as cleartext JSON in the file that NEURONX_MASTER_KEYSET_FILE names. It is
// a file of secrets like the others (event.ReadSecretFile): nobody but its owner may read it. Lost, what was sealed with it is lost; it is kept
// apart from backups of the database.
//
// A key is named in each sealed text by Tink's prefix (a byte 1 and the key's id, 4 bytes big-endian). The primary key seals; every enabled key
// of the keyset opens. A key is added first and promoted when every process has it, so nothing that was sealed stops opening anywhere.
//
// What is sealed is bound to its associated data, which the caller names and does not store with it: the row that it belongs to. A sealed text
// that was copied into another row does not open there.
//
// # How it fails
//
//   - The file is missing, readable by others, too large, or holds another kind of keyset: Load says which, and the process does not start.
//   - The key is not in the keyset, the text was changed, or it is another row's: ErrSealed. Which of them it was can't be told.
//   - No error, log or formatted value has a key or a plaintext. Tink's errors are not repeated, because they may quote what could not be read.
package vault
