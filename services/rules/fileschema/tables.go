package fileschema

func lookup() node {
	row := described(node{"type": "object", "minProperties": 1, "additionalProperties": node{"type": []string{"string", "number", "boolean"}}}, "A value for each column.")
	n := object("A table that expressions read by a key.", 2,
		key{"key", variable("The column that rows are found by, of texts or integers.")},
		key{"columns", named("The columns and what they hold.", keyPattern, 50, oneOf("", "string", "int", "double", "bool", "decimal", "time"))},
		key{"rows", described(node{"type": "array", "maxItems": 5_000, "items": row}, "The rows; or csv.")},
		key{"csv", text("A file of comma-separated values next to this one, which holds the rows.")},
		key{"pool", object("The rows are members that work is assigned to.", 0,
			key{"weight", variable("The column of weights; without it, all weigh the same.")},
			key{"capacity", variable("The column of how many claims a member takes at most.")},
			key{"calendar", variable("The column of calendars outside of which a member is not picked.")},
			key{"release", object("When a claim ends.", 0,
				key{"on", list("Types of events.", 32, eventType(""))},
				key{"key", expression("The key of the claim, over event and data.")},
				key{"after", duration("Since the claim began.")})},
			key{"follow", object("Events that give a claim to another member.", 2,
				key{"on", list("Types of events.", 32, eventType(""))},
				key{"member", expression("The new member, over event and data.")},
				key{"key", expression("The key of the claim; without it, that of release.")})})},
	)
	n["oneOf"] = []node{{"required": []string{"rows"}}, {"required": []string{"csv"}}}
	return n
}

func hours() node {
	interval := node{"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$"}
	return described(node{"type": "array", "maxItems": 24, "items": interval}, "Such as 09:00-12:00; none, and it is closed all day.")
}

func calendarFile() node {
	const days = "^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$"
	return object("Opening hours and holidays.", 2,
		key{"zone", text("The IANA name of the zone, such as America/New_York.")},
		key{"hours", node{"type": "object", "additionalProperties": false, "patternProperties": node{days: hours()}, "description": "By days and ranges of days, such as mon-fri."}},
		key{"holidays", node{"type": "array", "items": object("", 1,
			key{"date", node{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}},
			key{"hours", hours()})}},
	)
}
