// Package standin is a CRM that behaves as GoHighLevel's API v2 is known to behave, for the dev mode and for tests.
//
// What is authoritative: the contacts and other objects in memory, and, when a data directory is set, the JSONL file from which
// they are rebuilt at start. Everything else (request log, faults, rate windows, search index, cursors of exports, slots that were
// offered) is of this run only. What people set up in the vendor's own pages (pipelines, users, custom fields, calendars, workflows,
// campaigns) comes from POST /_standin/setup and outlives a reset.
//
// It checks requests by hand and strictly: Authorization, Version, Content-Type, unknown fields and query parameters (422 with an
// array of texts), the location in the body against the location of the token. It keeps the traps of the real thing:
//
//   - tags in an upsert or update replace all tags; the tag endpoints have set semantics and store lower case;
//   - an upsert matches by e-mail first, then phone (or as the location says); when the two hit different contacts only the
//     first match is updated and the second field is dropped without a word;
//   - addresses are stored in lower case with the domain in ASCII, phone numbers as E.164 with the country of the location;
//   - a contact that was deleted or merged into another is not found (404);
//   - search and the duplicate check see a write only after a lag;
//   - nothing is idempotent by key: two notes are two notes, and so are two tasks and two messages;
//   - a custom field that the location does not have is dropped, in an answer of 200;
//   - a contact has one opportunity in a pipeline, a closed one included, unless the location allows more (400, OPPORTUNITY_NO_DUPLICATE);
//     opportunities are searched by camel-case names, and location_id, which the vendor's older file has, is refused;
//   - DND holds by channel, while the contact's dnd is false; a message is accepted first and fails or arrives later;
//   - e-mail is not in an export of messages that does not ask for it, and the cursor of an export dies in two minutes;
//   - an appointment's startTime is the text in which free-slots gave the slot: the same instant in another zone counts as taken, and
//     an endTime of its own is refused unless the calendar allows it;
//   - to enrol in a workflow is accepted and skipped without a word for a contact that is, or without re-entry was, in it;
//   - answers say 200 or 201 without a system, and misspell "succeeded";
//   - 100 requests in 10 s and a daily budget per location, told in headers, refused with 429.
//
// Where the vendor documents nothing (status of a missing contact, body of a 429) a choice was made and is marked
// "undocumented" in the code.
//
// How it fails: on demand. Faults (POST /_standin/faults) are matched by location, method and path, all or a share by chance, and are
// used up by count; each says whether the request takes effect before the answer is spoilt. The request log tells for every request
// whether it was applied, so a test can count effects instead of answers. Bodies are bounded by 1 MiB, the log is a ring.
// A test run can have every request recorded in a file (record.go), which e2e/crmoracle holds against the vendor's OpenAPI files.
//
// More than fifteen files: each group of the vendor's endpoints, and each of its habits (limits, faults, search lag), has a file of its own over one store.
package standin
