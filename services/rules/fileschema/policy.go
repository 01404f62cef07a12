package fileschema

func policy() node {
	channels := "^(sms|call|whatsapp|email)$"
	calendars := named("Calendars outside which a channel is quiet.", channels, 4, calendar(""))
	n := object("Who may be reached, how often and when. A bundle has at most one.", 0,
		key{"consent", named("What a channel asks of a person; without it, opt_in for sms, call and whatsapp, opt_out for email.", channels, 4,
			oneOf("opt_in: silence is no consent; opt_out: silence is consent until it is revoked.", "opt_in", "opt_out"))},
		key{"quiet_hours", calendars},
		key{"caps", list("How often a person is reached.", 32, object("", 3,
			key{"channel", oneOf("* stands for all.", "sms", "call", "whatsapp", "email", "*")},
			key{"most", whole("Messages.", 1, 1_000)},
			key{"per", duration("")},
			key{"over", oneOf("What happens over it; without it, the message waits.", "defer", "skip")}))},
		key{"pace", named("How fast a channel is used, over all people.", channels, 4, object("", 2,
			key{"most", whole("Messages.", 1, 1_000_000)}, key{"per", duration("")}))},
		key{"grants", list("Consent that events carry.", 32, object("", 3,
			key{"on", types("Types of events.")},
			key{"channel", oneOf("", "sms", "call", "whatsapp", "email")},
			key{"basis", text("The reason, as the person would be shown it.")},
			key{"when", ref("value", "True or false, over event and data; without it, always.")},
			key{"lead", ref("value", "The id of the lead; without it, data.lead_id.")}))},
	)
	n["minProperties"] = 1
	n["$defs"] = node{"value": value("")}
	return n
}
