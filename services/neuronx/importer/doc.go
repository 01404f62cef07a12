// Package importer turns files of facts from another system into events and
// sends them through the HTTP door.
//
//	spec ─> columns checked ─> rows ─> map (pure) ─> known? ─> batch ─> 202 ─> resume file
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
//	      zone: America/Sao_Paulo      # of times without one; default UTC
//	      events:
//	        - when: row.id != ''       # optional
//	          type: lead.created
//	          id: row.id               # unique for this type within the mapping
//	          subject: "'lead/' + row.id"
//	          time: row.created        # optional
//	          data:
//	            lead_id: row.id
//
// What is authoritative: the archive. An event's id is a function of tenant,
// mapping, type and key, so importing again makes the same ids; those that the
// archive holds are not sent again, however long ago they came, and those on
// their way are dropped by the sequencer. All events carry the origin import, so
// rules do not fire unless they ask for it.
//
// How it fails: a row that can't be mapped, or an event that is refused, is
// reported and the import goes on; the result is then partial. When the door
// does not answer, or says 429 or 503, a batch is sent again, which is safe. The
// resume file beside the input is written after each acknowledged batch: the
// same command goes on there. It is a shortcut, never the proof: a resume file
// whose last event the archive does not know is not believed.
package importer
