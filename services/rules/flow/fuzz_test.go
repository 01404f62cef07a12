package flow

import (
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// FuzzParse: whatever a file holds, reading it ends soon, and every problem says where it is unless it is about the whole file.
func FuzzParse(f *testing.F) {
	for _, c := range hostile {
		if len(c.text) < 4096 {
			f.Add(c.text)
		}
	}
	for _, name := range []string{"speed-to-lead", "no-show-recovery", "nurture", "policy"} {
		f.Add(read(f, "testdata/"+name+".yaml"))
	}
	whole := map[string]bool{rulefile.CodeEmpty: true, rulefile.CodeInvalidYAML: true, rulefile.CodeTooLarge: true}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		p, problems := parsed(text)
		_, more := parsedPolicy(text)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("took %s", took)
		}
		if len(problems) > 100 || len(more) > 100 {
			t.Errorf("%d and %d problems", len(problems), len(more))
		}
		for _, problem := range append(problems, more...) {
			if problem.Line <= 0 && !whole[problem.Code] || problem.Message == "" || problem.Code == "" {
				t.Errorf("a problem without a line: %s", problem)
			}
			if len(problem.Message) > 10_000 {
				t.Errorf("a problem of %d bytes", len(problem.Message))
			}
		}
		if p == nil || problems.Err() != nil {
			return
		}
		if p.Name == "" || len(p.Start.On) == 0 || p.Start.Key == nil || len(p.Do) == 0 {
			t.Errorf("accepted without what it needs: %+v", p)
		}
		seen := 0
		walk(p, func(task *Task) {
			seen++
			if task.Step == nil || p.Task(task.Path) != task || task.List[task.Index] != task {
				t.Errorf("the task %s is not what it says: %+v", task.Path, task)
			}
		})
		if seen == 0 || seen > MaxTasks {
			t.Errorf("%d tasks", seen)
		}
	})
}
