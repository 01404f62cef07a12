package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/neuronx/engine/e2e/seeds"
)

// programs are what a cluster is made of, and where their main packages lie.
var programs = map[string]string{
	"neuronx-ingest": "./services/ingest/cmd", "neuronx-rules": "./services/rules/cmd", "neuronx-projector": "./services/projector/cmd",
	"neuronx-archiver": "./services/archiver/cmd", "neuronx-gohighlevel": "./services/gohighlevel/cmd", "neuronx-standin": "./services/standin/cmd",
	"neuronx": "./services/neuronx/cmd", "registry": "./e2e/cmd/registry",
}

// built are the paths that this process has compiled: a test run with seven clusters compiles once. Clusters that start at the same time
// build in turn, because a program that runs can't be replaced.
var (
	built    sync.Map
	building sync.Mutex
)

// build compiles the programs into bin/<folder> and returns where they are. The program that a bug is planted in goes into a folder of
// its own. With only, no others are compiled.
func build(t testing.TB, folder string, planted Seed, only ...string) map[string]string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	root, err := repository()
	must(t, err)
	paths := map[string]string{}
	overlay := ""
	if planted != (Seed{}) {
		if programs[planted.Program] == "" {
			t.Fatalf("the bug %q is for %q, which is no program of the engine", planted.Bug, planted.Program)
		}
		overlay, err = seeds.Overlay(root, planted.Bug, t.TempDir())
		must(t, err)
	}
	var jobs sync.WaitGroup
	errs := make(chan error, len(programs))
	for name, pkg := range programs {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		dir, with := folder, ""
		if name == planted.Program {
			dir, with = folder+"-"+planted.Bug, overlay
		}
		path := filepath.Join(root, "bin", dir, name)
		paths[name] = path
		if _, done := built.Load(path); done {
			continue
		}
		jobs.Go(func() {
			cmd := exec.Command("go", "build", "-overlay", with, "-o", path, pkg)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				errs <- fmt.Errorf("build %s: %w\n%s", name, err, out)
				return
			}
			built.Store(path, true)
		})
	}
	jobs.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	return paths
}

// Plant builds the program of a process with a bug of e2e/seeds, or with none if it is empty. The process runs it from its next start on, with more in
// its environment.
func (c *Cluster) Plant(t testing.TB, process, bug string, env ...string) {
	t.Helper()
	p := c.Processes[process]
	program, planted := filepath.Base(p.path), Seed{}
	if bug != "" {
		planted = Seed{Bug: bug, Program: program}
	}
	path := build(t, c.bin, planted, program)[program]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.path, p.env = path, append(p.env, env...)
}

// repository is the folder above the test's own that holds go.work.
func repository() (string, error) {
	dir, err := filepath.Abs(".")
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.work")); e == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", fmt.Errorf("the repository's root is not above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
