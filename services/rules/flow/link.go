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

// Parallel reports whether two tasks stand in different branches of one fork. What happens in one branch is no answer to what another does; what stands
// around a fork comes before or after all that is in it.
func (t *Task) Parallel(o *Task) bool {
	for ; t.Parent != nil; t = t.Parent {
		if _, fork := t.Parent.Step.(*Fork); !fork {
			continue
		}
		for p := o; p.Parent != nil; p = p.Parent {
			if p.Parent == t.Parent && p != t {
				return true
			}
		}
	}
	return false
}
