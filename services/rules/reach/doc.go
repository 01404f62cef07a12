// Package reach decides whether a command may reach a person now: by their consent, the caps and quiet hours of the contact policy, and the
// pace of the channel. It is pure; what it decides is recorded with the command, so a replay decides the same.
//
// The order is fixed: no consent suppresses, a cap skips or defers, closed hours defer to the opening, a full slot of the pace defers to
// the next with room. After a deferral everything is asked again, because consent may have been revoked meanwhile. A transactional message is
// free of caps and of nothing else.
//
// Where it can't tell, it does not send: a channel it does not know asks for opt-in; quiet hours of a person whose time zone nobody said
// defer by a day, each time with the reason zone_unknown, so that the message stands waiting in sight until the zone is known.
package reach
