// Package importer turns files of facts from another system into events, sends
// them to the HTTP endpoint, and tells what became of each row.
//
//	spec ─> columns, types and fields checked ─> rows ─> map (pure) ─> archive? ─> batch ─> verdicts ─> resume file
//
// A spec (kind Import) names input files, and for each the events that a row
// becomes; conditions and values are CEL over the row:
//
//	apiVersion: neuronx/v1
//	kind: Import
//	metadata: {name: crm-export}
//	spec:
//	  inputs:
//	    - file: leads.csv
//	      format: csv                  # or ndjson
//	      encoding: windows-1252       # or utf-8, utf-16, utf-16le, utf-16be; default UTF-8, or UTF-16 by its byte order mark
//	      delimiter: ";"               # or "," "|" tab; default a comma, or what a first line sep=; says
//	      quote: none                  # a quote is a character like any other; default RFC 4180
//	      zone: America/Sao_Paulo      # of times without one, in data too; default UTC
//	      events:
//	        - when: row.id != ''       # optional
//	          type: lead.created
//	          id: row.id               # unique for this type within the mapping
//	          subject: "'lead/' + row.id"
//	          time: row.created        # optional
//	          update: lead.updated     # of an edited row; default x.updated for x.created, if there is such a type
//	          data:
//	            lead_id: row.id
//
// What is authoritative: the sequencer's verdicts, and the archive. An event's
// id is a function of tenant, mapping, type and key, so importing again makes the
// same ids; those that the archive holds are not sent again, however long ago
// they came, and those on their way are dropped by the sequencer. What the archive
// holds is compared, so that an edit is named; [Options.Update] sends it. All
// events carry the origin import, so rules do not fire unless they ask for it.
//
// How it fails: a row that can't be read or mapped, or an event that is refused or
// in conflict, is reported and the import goes on; the result is then partial.
// Reading goes on in the line after a row that can't be read, also where a quote
// was never closed. Text in the wrong encoding, and times that a clock in the zone
// never shows or shows twice, are refused and not guessed; so are a spreadsheet's
// errors (#REF!), numbers that it cut (4.91512E+12), and ids such as NULL. When the HTTP
// endpoint does not answer, says 429 or 503, or has no verdict in time, a batch is sent again, which
// is safe; what is then a duplicate of a sequence that this import made counts as
// admitted. Without a verdict after that the import stops. The resume file next to
// the input is written after each batch that was judged: the same command goes on
// there, with the counts and the rejects file of the whole. It is a shortcut, never
// the proof: a resume file whose last event the archive does not know is not
// believed.
//
// More than fifteen files: what a row goes through (read, cells, mapping, times, judge, send, rejects) has a file each, and all of it is the state of one run.
package importer
