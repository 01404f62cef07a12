// Package pace decides how fast a CRM account is used: when the next request may be sent (Pacer), how long nothing is sent because the day's
// budget is nearly gone (Limits; Day forecasts it), because the far side is not well (Breaker) or because one effect failed (Backoff). No I/O and no clock: time
// is passed in.
//
// What is authoritative: the limits that the account's answers tell, and until one does those that its vendor documents. What a Pacer remembers
// is of this process only. After a start, or when another process used the account, it does not know how much of the running interval is used
// up, so it sends one request at a time until an answer says what is left, or the interval has passed.
//
//	unsure ── an answer tells what is left, or the interval has passed ──> evenly spaced ── 429 ──> the same at 0.8 of the rate
//	   ^                                                                        │                     │ 5 % of the limit more an interval
//	   └────────────── another process may have used the account ───────────────┴─────────────────────┘
//
// How it fails: towards sending less. A clock that is set back stops for as long as was not counted between two calls. One that jumps ahead
// lets at most one request through too early, which is why one request an interval is never used. Requests that others send show in what an
// answer says is left; they count for an interval from then on.
package pace
