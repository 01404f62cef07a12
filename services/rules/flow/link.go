package flow

// Link fills in what follows from the shape of a workflow: path, parent, list and index of each task, the index of tasks by path, and
// which tasks listen. Names must be unique within a list, and those of a try unlike those of its catch, because their paths are alike.
func (p *Program) Link() {
	p.tasks = map[string]*Task{}
	p.Listening = nil
	p.link(p.Do, nil, "")
	for _, u := range p.Until {
		p.link(u.Do, nil, "until/"+u.Name+"/")
	}
	p.link(p.Finally, nil, "finally/")
}

func (p *Program) link(list []*Task, parent *Task, prefix string) {
	for i, t := range list {
		t.Path, t.Parent, t.List, t.Index = prefix+t.Name, parent, list, i
		p.tasks[t.Path] = t
		below := t.Path + "/"
		switch s := t.Step.(type) {
		case *Listen:
			p.Listening = append(p.Listening, t)
		case *Do:
			p.link(s.Tasks, t, below)
		case *For:
			p.link(s.Tasks, t, below)
		case *Fork:
			p.link(s.Branches, t, below)
		case *Try:
			p.link(s.Tasks, t, below)
			p.link(s.Catch, t, below)
		}
	}
}

// Branch is the task of a fork in which t stands, the innermost one; nil: it stands in none. What happens in one branch is no answer to
// what another does.
func (t *Task) Branch() *Task {
	for ; t != nil && t.Parent != nil; t = t.Parent {
		if _, fork := t.Parent.Step.(*Fork); fork {
			return t
		}
	}
	return nil
}
