// Package read reads committed records without a group. Range reads one partition from an offset to another, Follow a topic as it grows,
// Reader many partitions that come and go, TopicReader those of one topic.
//
// No reader skips a committed record without an error. An offset outside the log is a StoppedError, never a jump; what a fetch of a Reader
// left out is looked at a second time (leftout.go). Memory is bounded whatever a batch inflates to (inflate.go): a batch that is too large to
// hold is read a few records at a time (apart.go), and what no bound allows is an OversizeError that a person can read.
package read
