package reseed

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
)

// row is one generation of a consumer's progress.
type row struct {
	consumer.Row
	Archived   string // id of the archive's event under Sequence; empty: it has none
	ArchiveLog string // and the log in which it was admitted
}

// verdict is what is to be done with a row.
type verdict int

const (
	keep   verdict = iota // what it has applied is in the archive
	ahead                 // it has applied events that the archive lacks, which are gone
	differ                // it has applied another event than the archive holds
)

// judge compares a row with the archive. It is pure.
func judge(r row, archived int64) verdict {
	switch {
	case r.Sequence > archived:
		return ahead
	case r.Sequence > 0 && r.EventID != "" && r.EventID != r.Archived:
		return differ
	default:
		return keep
	}
}

// wants says from which sequence on a consumer has to read a tenant in the new log: 0 when it reads nothing of what is there. Rows that
// wait for a person or the archive don't take from the log.
func wants(r row, archived int64) int64 {
	if r.State != "live" || r.Sequence >= archived {
		return 0
	}
	return r.Sequence + 1
}

// Lost is what is known to be gone.
type Lost struct {
	Consumer string `json:"consumer"`
	Tenant   string `json:"tenant_id"`
	Archived int64  `json:"archived"` // the last sequence that is left
	Applied  int64  `json:"applied"`  // the last one that the consumer had seen
}

// Partition is what is, or would be, written to one partition.
type Partition struct {
	Partition   int32  `json:"partition"`
	Tenants     int    `json:"tenants"`
	Events      int64  `json:"events"`
	Written     int64  `json:"written"` // by this run
	LogID       string `json:"log_id"`
	Predecessor string `json:"predecessor"`
	Keys        int    `json:"keys"` // remembered by the sequencer

	first    int64            // offset of its first event
	next     map[string]int64 // by consumer: the offset to read on from
	records  [][]byte         // of the sequencer's state
	derivers map[[2]string]int64
}

// Report is what a run did or would do.
type Report struct {
	Partitions []Partition `json:"partitions"`
	Lost       []Lost      `json:"lost"`
	LeftOut    []string    `json:"left_out,omitempty"` // tenants that were not chosen
	Again      int         `json:"derived_again"`      // derived events of the lost tail that are sent again
	Dropped    int         `json:"dropped"`            // derived events that waited to be sent, and whose cause is gone
	Aside      int         `json:"effects_set_aside"`  // effects of commands that are gone
	Done       bool        `json:"done"`               // it was done before
}

// findLost lists the rows that are ahead, by tenant. It is pure.
func findLost(rows []row, archived map[string]int64) []Lost {
	out := []Lost{}
	for _, r := range rows {
		if judge(r, archived[r.TenantID]) == ahead {
			out = append(out, Lost{r.Consumer, r.TenantID, archived[r.TenantID], r.Sequence})
		}
	}
	slices.SortFunc(out, func(a, b Lost) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.Applied, b.Applied))
	})
	return out
}

// projected reports whether a row is of a feed of the projector, whose tables are built again rather than set back.
func projected(r row) bool {
	group, _ := consumer.SplitName(r.Consumer)
	return group == kafka.GroupProjector
}

// check finds rows that no reseed can be made to fit. It is pure.
func check(rows []row, archived map[string]int64) error {
	for _, r := range rows {
		switch v := judge(r, archived[r.TenantID]); {
		case v == differ:
			return refuse("%s has applied event %s of tenant %s under sequence %d, the archive holds %s there: they are not of one log",
				r.Consumer, r.EventID, r.TenantID, r.Sequence, cmp.Or(r.Archived, "none"))
		case v == ahead && r.Consumer == kafka.GroupArchiver:
			return refuse("the archiver's row of tenant %s stands at %d, and its archive ends at %d: rows of the archive are missing",
				r.TenantID, r.Sequence, archived[r.TenantID])
		case v == ahead && !projected(r) && r.Consumer != kafka.GroupRules && r.Consumer != kafka.GroupGoHighLevel:
			return refuse("%s is ahead of the archive for tenant %s, and nobody knows how to set it back", r.Consumer, r.TenantID)
		}
	}
	return nil
}

// Refused says that a reseed would not be safe.
type Refused struct{ detail string }

func (e *Refused) Error() string { return e.detail }

func refuse(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }
