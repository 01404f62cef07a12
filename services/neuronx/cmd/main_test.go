package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hanging makes this test binary a process that never ends by itself once it was told to.
const hanging = "NEURONX_TEST_HANGS"

func TestMain(m *testing.M) {
	if os.Getenv(hanging) == "" {
		os.Exit(m.Run())
	}
	ctx, _ := interruptible()
	fmt.Println("running")
	<-ctx.Done()
	fmt.Println("stopping")
	select {}
}

// Stopping may take long, and must not keep a person waiting who has asked twice.
func TestInterruptible_TheSecondSignalEndsAProcessThatIsStillStopping(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), hanging+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for _, want := range []string{"running", "stopping"} {
			if !lines.Scan() || strings.TrimSpace(lines.Text()) != want {
				t.Fatalf("%q, want %q", lines.Text(), want)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		tick := time.NewTicker(20 * time.Millisecond) // the second signal may have come before the first was done with
		defer tick.Stop()
		for tries := 0; ; {
			select {
			case err = <-ended:
			case <-tick.C:
				if tries++; tries == 1000 {
					_ = cmd.Process.Kill()
					t.Fatalf("%v again and again, and it still runs", sig)
				}
				_ = cmd.Process.Signal(sig)
				continue
			}
			break
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig {
			t.Errorf("ended with %v, not by %v", err, sig)
		}
	}
}
