package kafka

import (
	"strconv"
	"strings"
)

// Committed is what a group has committed for a partition; Present is false when it has nothing.
type Committed struct {
	Group    string // whose commit it is, as read; not looked at by Commit
	Offset   int64
	Metadata string // see CommitMark; anything else was written by an operator's tool
	Present  bool
}

// CommitMark begins the metadata of every commit of the engine, "nx1:<slot>:<group>:<offset>:<log id>". A commit without it is an operator's
// reset, as Kafka's own tool writes no metadata. So is one whose mark names another group or another offset: some tools copy the metadata of
// what they copy (`rpk group seek --to-group`), or keep it and change the offset.
//
// The log id stands last because the releases before this form, "nx1:<slot>:<log id>", look at the beginning and at the end alone.
const CommitMark = "nx1"

// ResetMark begins the metadata of the engine's own reset verb: "nx-reset:<session>".
const ResetMark = "nx-reset:"

// Ours reports whether a commit was written by a member of the engine in that group, and not by an operator.
func (c Committed) Ours() bool {
	group, offset, ok := c.mark()
	return ok && (offset == "" || offset == strconv.FormatInt(c.Offset, 10) && (c.Group == "" || c.Group == group))
}

// Marked reports whether a commit is ours and says so in the form of this release.
func (c Committed) Marked() bool {
	_, offset, _ := c.mark()
	return offset != "" && c.Ours()
}

// mark is what the metadata says of its commit; the offset is empty in the form of earlier releases. A slot may hold colons.
func (c Committed) mark() (group, offset string, ok bool) {
	parts := strings.Split(c.Metadata, ":")
	if parts[0] != CommitMark || len(parts) < 2 {
		return "", "", false
	}
	if n := len(parts); n >= 5 {
		if _, err := strconv.ParseInt(parts[n-2], 10, 64); err == nil {
			return parts[n-3], parts[n-2], true
		}
	}
	return "", "", true
}

// MarkOf is a commit's metadata, which the member gives as "nx1:<slot>:<log id>".
func MarkOf(metadata, group string, offset int64) string {
	at := strings.LastIndexByte(metadata, ':')
	if at < 0 {
		return metadata
	}
	return metadata[:at] + ":" + group + ":" + strconv.FormatInt(offset, 10) + metadata[at:]
}

// ResetSession returns the session of a reset made with our own verb.
func (c Committed) ResetSession() (session string, ok bool) {
	return strings.CutPrefix(c.Metadata, ResetMark)
}
