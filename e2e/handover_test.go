//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"testing"
)

func TestHandoverRefusesNoConnection(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, hello)))
	fresh, kept, h2 := visit(t, d.url, true), visit(t, d.url, false), visitByHTTP2(t, d.url)
	fresh.more(t, 50)
	h2.more(t, 50)
	d.signal(syscall.SIGUSR2)
	next := d.logged("the new process serves").NewPID
	if next <= 0 || next == d.cmd.Process.Pid {
		t.Fatalf("the new process is %d", next)
	}
	defer endOrphan(t, next)
	if code := d.ended(); code != 0 {
		t.Errorf("the old process exited with %d", code)
	}
	fresh.more(t, 50)
	kept.more(t, 50)
	h2.more(t, 50)
	fresh.unharmed(t)
	kept.unharmed(t)
	h2.unharmed(t)
	if status, _, err := fetch("http://" + d.admin + "/healthz"); status != http.StatusOK {
		t.Errorf("the new process's health: %d, %v", status, err)
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", next)); err != nil || exe != binary {
		t.Errorf("process %d runs %q: %v", next, exe, err)
	}
}

// endOrphan ends a process that is nobody's child any more.
func endOrphan(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
		return
	}
	await(t, "the end of the new process", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(b, []byte(") Z ")) // ended, and perhaps not waited for by its new parent
	})
}

func TestAFailedHandoverLeavesTheDoorServing(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, hello)))
	v := visit(t, d.url, true)
	v.more(t, 20)
	d.rewrite("sites: [")
	d.signal(syscall.SIGUSR2)
	d.logged("the new process did not come up; this one goes on")
	v.more(t, 20)
	v.unharmed(t)
}
