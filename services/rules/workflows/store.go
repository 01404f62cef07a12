package workflows

import (
	"cmp"
	"context"
	"time"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
)

// Row is an instance as it is kept: its texts by advance.Instance.Encode, and of them what it is found by.
type Row struct {
	ID       string
	Workflow string
	Group    string // of its workflow's concurrency; empty: none
	Key      string // that of the instance or, if the subject that it names was merged, of that one
	Subject  string
	Contact  string // id of the lead, of that one also if the instance's own was merged; empty: none
	Bundle   int64  // sequence of the rules.published that holds its text
	Status   advance.Status
	Paused   bool // held because its workflow was paused with hold
	Started  time.Time
	Sequence int64 // of the event that changed it last
	State    []byte
	Personal []byte           // empty: none; it may be destroyed without State
	Waits    []advance.Wanted // sorted; none once it has ended
}

// Ref names an instance that lives. Lists of them are sorted by (Started, ID).
type Ref struct {
	ID       string
	Workflow string
	Group    string
	Started  time.Time
}

func compareRefs(a, b Ref) int {
	return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
}

// Version is a text of a workflow by which an instance that lives runs.
type Version struct {
	Workflow string
	Bundle   int64
}

// Pair is a name and a key: of a workflow, a group or a pool.
type Pair struct{ Name, Key string }

// Timer is a timer of an instance.
type Timer struct {
	advance.Timer
	Instance string
	Workflow string
}

// Reads is what folding a run of events will most likely read. Anything else is read when it is asked for.
type Reads struct {
	Instances []string // ids
	Waits     []advance.Wanted
	Keys      []Pair // of workflows: what is kept of the key, and its instances that live
	Groups    []Pair
	Contacts  []string // ids of leads
	Claims    []Pair   // of pools
	Named     []Pair   // states, by their Kind and name
	Windows   []string // subjects
}

// Store holds what is kept of one tenant's workflows. It is for one goroutine. Reads see what was put before, in this run, too. What was put is
// written by the owner of the store, in the transaction of the batch. A read's error is the machine's.
//
// Conformance tests both implementations: Memory, and the one on Postgres.
type Store interface {
	// Preload reads ahead, in few queries.
	Preload(ctx context.Context, r Reads) error

	// Instance finds an instance, an ended one too while it is kept; nil: there is none. The caller does not change the row.
	Instance(ctx context.Context, id string) (*Row, error)
	// Waiting lists the instances that wait for one of the events, each once.
	Waiting(ctx context.Context, on []advance.Wanted) ([]Ref, error)
	// Living lists the instances of a key of a workflow that live.
	Living(ctx context.Context, workflow, key string) ([]Ref, error)
	// Grouped lists the instances of a key that live, of all workflows of a group.
	Grouped(ctx context.Context, group, key string) ([]Ref, error)
	// Paused lists at most so many instances of a workflow that live and are Paused.
	Paused(ctx context.Context, workflow string, most int) ([]Ref, error)
	// OfSubject lists all instances that are kept, ended ones too, that a subject started or whose commands reach the lead. lead may be empty.
	OfSubject(ctx context.Context, subject, lead string) ([]Ref, error)
	// Count counts the instances that live.
	Count(ctx context.Context) (int64, error)
	// Versions lists the texts by which instances that live run, sorted by workflow and bundle. It is asked about each event, and the caller does
	// not change the list.
	Versions(ctx context.Context) ([]Version, error)
	// Keys is what is kept of a key of a workflow.
	Keys(ctx context.Context, workflow, key string) (advance.Keys, error)
	// Contact is the state of a lead; nil: there is none.
	Contact(ctx context.Context, lead string) ([]byte, error)
	// Named is a state that one name of a kind has: see Kind; nil: there is none.
	Named(ctx context.Context, kind Kind, name string) ([]byte, error)
	// Claim is the claim of a key of a pool, a past one too.
	Claim(ctx context.Context, pool, key string) (pool.Claim, error)
	// Alias is the merge of a subject into another one; ok is false where it was not merged.
	Alias(ctx context.Context, subject string) (e alias.Edge, ok bool, err error)
	// Aliased lists, sorted, the subjects that were merged into one of some.
	Aliased(ctx context.Context, into []string) ([]string, error)
	// LivingOf lists the instances of a key that live, of all workflows.
	LivingOf(ctx context.Context, key string) ([]Ref, error)
	// KeysOf is what is kept of a key, by workflow.
	KeysOf(ctx context.Context, key string) (map[string]advance.Keys, error)
	// ClaimsOf is the claims of a key, past ones too, by pool.
	ClaimsOf(ctx context.Context, key string) (map[string]pool.Claim, error)
	// Claims counts the claims of a pool's members that are living at a time.
	Claims(ctx context.Context, pool string, at time.Time) (map[string]int64, error)

	// Begin marks the beginning of an event, and Rollback undoes what was put since.
	Begin()
	Rollback()

	PutInstance(r Row)
	PutKeys(workflow, key string, k advance.Keys)
	PutContact(lead string, state []byte)          // nil: forget it
	PutNamed(kind Kind, name string, state []byte) // nil: forget it
	PutClaim(pool, key string, c pool.Claim)       // without a member: forget it
	PutAlias(subject string, e *alias.Edge)        // nil: it is not merged any more
	Arm(t Timer)
	// Disarm forgets a timer that fired or was cancelled. One that is not there is not an error.
	Disarm(id string)
	// Early keeps a timer that fired before its due, by a clock that ran ahead: it fires again, and not before its due by the log's time.
	Early(id string)
}

// Suspended is the name of the state of KindTenant that a suspended tenant has.
const Suspended = "suspended"

// Kind says what a named state is of.
type Kind string

// Kinds of named states.
const (
	KindPace   Kind = "pace"   // by channel: reach.Slot
	KindPool   Kind = "pool"   // by pool: pool.State
	KindHealth Kind = "health" // by workflow: failures of its tasks, whether it is off, and why
	KindStarts Kind = "starts" // by workflow: its cyclic starts of an hour
	KindTenant Kind = "tenant" // Suspended: the tenant is; its timers wait
	KindWindow Kind = "window" // by subject: window.States
	KindPause  Kind = "pause"  // by workflow: who paused it; and by the empty name: the workflows whose instances are being resumed
	KindErased Kind = "erased" // by subject that was erased: erasure
)
