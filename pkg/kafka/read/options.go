package read

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options are the options of every reader.
//
// A reader never jumps by itself: NoResetOffset turns an offset that is outside the log into an error, where the default
// resumes at whatever is left. NoResetOffset alone would begin at the end when there is no offset at all, so
// the start is always said too.
func Options(start kgo.Offset) []kgo.Opt {
	bounded := newInflater()
	return []kgo.Opt{
		kgo.WithDecompressor(bounded),
		kgo.WithHooks(bounded),
		kgo.ConsumeStartOffset(start),
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Control records are kept, and dropped by us: they are how a reader knows that it has reached an offset behind
		// which there is nothing but a transaction's end, and how the group's offset gets past it.
		kgo.KeepControlRecords(),
		// A partition that joins a running long poll waits for its end; half a second keeps assignments brisk.
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
}
