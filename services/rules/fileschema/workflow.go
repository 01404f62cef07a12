package fileschema

// value is an expression of a workflow, or a template.
func value(description string) node {
	return described(node{"anyOf": []node{
		expression(""),
		object("A text with expressions in it; $${ stands for the characters ${.", 1, key{"text", text("Such as Hi ${vars.name}.")}),
	}}, description)
}

func values(description string, most int) node {
	return named(description, keyPattern, most, ref("value", ""))
}

// types is one type of event or a list of them.
func types(description string) node {
	return described(node{"anyOf": []node{eventType(""), list("", 32, eventType(""))}}, description)
}

func calendar(description string) node {
	return name(description + " The name of a Calendar of the bundle.")
}

func workflow() node {
	n := object("When the workflow starts, what it does and what ends it.", 2,
		key{"start", start()},
		key{"do", ref("tasks", "The tasks, one after the other.")},
		key{"concurrency", object("Of all workflows that name the group, one instance a key lives at a time.", 2,
			key{"group", name("The group's name.")},
			key{"on_conflict", oneOf("What happens to a start while another lives: it is refused, or the other is replaced.", "refuse", "replace")})},
		key{"until", named("Events that end the instance whenever they come, in the order in which they are asked.", namePattern, 16, object("", 2,
			key{"on", types("Types of events.")},
			key{"status", oneOf("What the instance counts as; of a cancelled one the compensations run.", "completed", "cancelled")},
			key{"when", ref("value", "True or false, over event, data, vars and instance; without it, always.")},
			key{"correlate", ref("correlate", "")},
			key{"do", ref("tasks", "Tasks that neither wait nor reach a person.")}))},
		key{"timeout", object("Bounds the life of the instance.", 2,
			key{"after", duration("From the start.")},
			key{"then", oneOf("What the instance counts as.", "cancelled", "completed")},
			key{"in", calendar("It moves to the next opening.")})},
		key{"finally", ref("tasks", "Tasks after any end, which neither wait nor reach a person.")},
		key{"loops", constant("allowed", "It may start itself again, by way of others too.")},
	)
	n["$defs"] = node{
		"value":     value(""),
		"correlate": correlate(),
		"match":     match(),
		"deadline":  deadline(),
		"tasks":     tasks(),
		"task":      task(),
		"emit":      emit(),
		"undo":      undo(),
	}
	return n
}

func start() node {
	return object("What starts an instance.", 2,
		key{"on", types("Types of events.")},
		key{"key", ref("value", "What the instance is about: a text, over event and data. One instance a key lives unless reentry says otherwise.")},
		key{"origins", origins("live alone if it is left out.")},
		key{"when", ref("value", "True or false, over event and data; without it, always.")},
		key{"set", values("What is kept of the event, in vars.", 64)},
		key{"zone", ref("value", "The IANA name of the zone of whom it is about, such as Europe/Berlin.")},
		key{"contact", ref("value", "The id of the lead whom its messages reach; without it, data.lead_id.")},
		key{"fresh", duration("An event that is older when it is recorded starts nothing.")},
		key{"reentry", object("When a key may start again.", 1,
			key{"policy", oneOf("once: never; after_end: not while an instance lives; restart: the living one is replaced.", "once", "after_end", "restart", "concurrent")},
			key{"cooldown", duration("Since the last start.")},
			key{"max", whole("Starts of a key, ever.", 1, 1_000_000)})},
	)
}

func correlate() node {
	return object("How an event is told to belong to the instance; without it, start.key must check on the event.", 1,
		key{"from", ref("value", "A text, over event and data.")},
		key{"expect", ref("value", "The text that it must be, over vars and instance; without it, the instance's key.")},
	)
}

func match() node {
	return object("An event.", 1,
		key{"on", types("Types of events.")},
		key{"when", ref("value", "True or false, over event, data, vars and instance; without it, always.")},
		key{"correlate", ref("correlate", "")},
	)
}

func deadline() node {
	return object("Bounds the wait.", 1,
		key{"after", duration("")},
		key{"in", calendar("It moves to the next opening.")},
		key{"then", then("Where it goes on; without it, the error timeout is raised.")},
	)
}

func then(description string) node {
	return name(description + " continue, end, or the name of a task of the same list.")
}

func tasks() node {
	entry := named("One name and its task.", namePattern, 1, ref("task", ""))
	return list("", 200, entry)
}

// emitted is an event or command to derive.
func emitted(more ...key) node {
	return object("An event to derive.", 2, append([]key{
		{"type", eventType("Type of the event.")},
		{"data", values("One expression a field of the type's schema.", 200)},
		{"subject", ref("value", "The subject; without it, the instance's.")},
	}, more...)...)
}

func suppressed() node {
	return oneOf("What happens where the contact policy suppresses the message.", "continue", "end")
}

func emit() node { return emitted(key{"undo", ref("undo", "")}, key{"on_suppressed", suppressed()}) }

func undo() node {
	return list("Events that are derived, newest first, when the instance is cancelled or faulted.", 8, emitted())
}

// task has one of the keys that say what it does, and only the keys that may stand alongside that one.
func task() node {
	n := object("A task does one thing.", 0,
		key{"if", ref("value", "True or false; a task that is left out goes on with the next one.")},
		key{"then", then("Where it goes on; without it, the next task.")},
		key{"emit", ref("emit", "Derives an event.")},
		key{"call", eventType("Emits the command crm.….requested of this name and waits for its outcome, such as crm.note.add.")},
		key{"with", values("One expression a field of the command.", 200)},
		key{"as", variable("The variable that takes the outcome.")},
		key{"subject", ref("value", "The subject of the command; without it, the instance's.")},
		key{"undo", ref("undo", "")},
		key{"on_suppressed", suppressed()},
		key{"timeout", ref("deadline", "")},
		key{"wait", wait()},
		key{"listen", listen()},
		key{"switch", list("Goes to the task of the first case that holds; without one, on.", 32, named("One name and its case.", namePattern, 1, object("", 1,
			key{"then", then("Where it goes on.")},
			key{"when", ref("value", "True or false; the case without it is the default, which is last.")})))},
		key{"set", values("Variables to change; null takes one away.", 64)},
		key{"for", object("Runs the tasks of do for each value of a list.", 2,
			key{"each", variable("The loop variable.")},
			key{"in", ref("value", "The list, of at most 400 values.")},
			key{"at", variable("The variable of the index, from 0.")})},
		key{"while", ref("value", "True or false; the loop ends where it does not hold.")},
		key{"do", ref("tasks", "")},
		key{"fork", object("Runs branches side by side.", 1,
			key{"branches", ref("tasks", "At most 8.")},
			key{"compete", node{"type": "boolean", "description": "The first that ends, ends the others."}})},
		key{"try", ref("tasks", "Tasks whose errors are caught.")},
		key{"catch", catch()},
		key{"raise", object("Fails with an error of the file's own.", 1,
			key{"error", node{"type": "string", "pattern": "^raised/[a-z][a-z0-9_]{0,62}$"}},
			key{"detail", ref("value", "A text for people.")})},
		key{"assign", object("Picks a member of a pool.", 2,
			key{"pool", name("The name of a Lookup that is a pool.")},
			key{"as", variable("The variable that takes the member.")},
			key{"except", ref("value", "A list of members that are not picked.")},
			key{"or", ref("value", "The member when nobody is eligible; without it, the error no_capacity is raised.")})},
	)
	has := func(keys ...string) node { return node{"required": keys} }
	n["oneOf"] = []node{
		has("emit"), has("call", "with"), has("wait"), has("listen"), has("switch"), has("set"), has("for", "do"),
		{"required": []string{"do"}, "not": has("for")}, has("fork"), has("try", "catch"), has("raise"), has("assign"),
	}
	n["dependentRequired"] = node{
		"with": []string{"call"}, "as": []string{"call"}, "subject": []string{"call"}, "undo": []string{"call"}, "on_suppressed": []string{"call"},
		"while": []string{"for"}, "catch": []string{"try"},
	}
	n["dependentSchemas"] = node{"timeout": node{"anyOf": []node{has("call"), has("listen")}}}
	return n
}

func wait() node {
	n := object("Lets time pass.", 0,
		key{"for", duration("Hours elapse; days and months are the calendar's. At least PT60S.")},
		key{"until", ref("value", "A time.")},
		key{"counting", calendar("Open time alone counts.")},
		key{"at", node{"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "description": "Local time that it moves on to, such as 10:00."}},
		key{"in", calendar("It moves to the next opening.")},
		key{"spread", duration("At most this much later, so that not all go on at once.")},
		key{"late", object("What happens where the timer fires too late to be of use.", 2, key{"after", duration("")}, key{"then", then("Where it goes on.")})},
	)
	n["oneOf"] = []node{{"required": []string{"for"}}, {"required": []string{"until"}}}
	return n
}

func listen() node {
	to := object("One event, any of several, or all of them.", 0,
		key{"one", ref("match", "")}, key{"any", list("", 16, ref("match", ""))}, key{"all", list("", 16, ref("match", ""))})
	to["minProperties"], to["maxProperties"] = 1, 1
	return object("Waits for events.", 1,
		key{"to", to},
		key{"set", values("Variables to change, over event, data, vars, instance and now.", 64)},
		key{"since", text("What came since then counts: step, start, or the name of a task; without it, since the last message.")},
	)
}

func catch() node {
	return object("What happens with errors of the tasks of try.", 1,
		key{"do", ref("tasks", "")},
		key{"errors", list("Which errors; without it, all.", 16, node{"type": "string",
			"pattern": `^(\*|data|timeout|limit|no_capacity|(expression|command|raised)/(\*|[a-z][a-z0-9_]{0,62}))$`})},
		key{"when", ref("value", "True or false; sees the error.")},
		key{"as", variable("The variable of the error; without it, error.")},
		key{"retry", object("Runs the tasks again before the error is caught.", 2,
			key{"attempts", whole("At most, the first run not counted.", 1, 20)},
			key{"delay", duration("At least PT60S.")},
			key{"backoff", oneOf("exponential: each delay is twice the one before.", "constant", "exponential")},
			key{"longest", duration("Of delays that grow.")})},
	)
}
