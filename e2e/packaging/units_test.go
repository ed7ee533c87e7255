//go:build e2e

// Package packaging answers "does systemd understand our units?".
package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	units     = "../../packaging"
	installed = "/usr/bin/stormdoor"
)

// unpack copies the units into a folder of their own. The binary that they name is not installed here, so that
// something that is takes its place.
func unpack(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"stormdoor.service", "stormdoor.socket"} {
		text, err := os.ReadFile(filepath.Join(units, name))
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.ReplaceAll(string(text), installed, program))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUnitsAreUnderstood(t *testing.T) {
	dir := unpack(t)
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "stormdoor.service"), filepath.Join(dir, "stormdoor.socket")).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze verify: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		old := strings.HasSuffix(strings.TrimSpace(line), "ignoring: notify-reload") // before systemd 253; the unit says why
		if strings.Contains(line, "stormdoor.s") && !old {                           // the machine's own units are not our matter
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestServiceIsHardened holds the exposure that systemd computes below 2.0 of 10.
func TestServiceIsHardened(t *testing.T) {
	dir := unpack(t)
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", filepath.Join(dir, "stormdoor.service")).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

func TestUnitsNameOneBinary(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(units, "stormdoor.service"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), installed+" serve --config /etc/stormdoor/"); n != 1 {
		t.Errorf("the service starts %s %d times, want once", installed, n)
	}
}
