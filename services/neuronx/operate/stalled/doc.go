// Package stalled lists the tenants that a consumer set aside because of one event, and lets them go on: Retry applies the event
// again, Skip passes over it for good, which an event records. Watch tells what became of those that were let go on.
//
// A Place is where tenants are stalled: a consumer, a feed of the projector, a tenant; each may be left open. Skip needs the
// sequence of the event, so that nobody skips another one than they looked at. The archiver skips nothing: that would be a hole.
package stalled
