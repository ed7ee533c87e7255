package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stormdoor"
)

// replayed runs the replay command and returns its status and what it printed.
func replayed(t *testing.T, ctx context.Context, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return command(t, ctx, append([]string{"replay"}, args...)...)
}

// command runs stormdoor and returns its status and what it printed.
func command(t *testing.T, ctx context.Context, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i, name := range []string{"out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	status = run(ctx, args, files[0], files[1])
	var texts [2]string
	for i, f := range files {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(b)
	}
	return status, texts[0], texts[1]
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const logLine = "192.0.2.1 - - [01/Mar/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 512 \"-\" \"Firefox\"\n"

func TestReplayCommand(t *testing.T) {
	ctx := t.Context()
	log := writeFile(t, "access.log", strings.Repeat(logLine, 9000))
	status, out, stderr := replayed(t, ctx, log)
	if status != 0 || stderr != "" || !strings.Contains(out, "9,000 requests of 1 client in "+log) || !strings.Contains(out, "9,000 passed (100.00 %)") {
		t.Errorf("status %d, %s\n%s", status, stderr, out)
	}
	strict := writeFile(t, "strict.yaml", "sites: [{hosts: ['*'], origins: ['http://127.0.0.1:1']}]\nlimits: [{name: tight, rate: 1/s, burst: 10}]\n")
	args := []string{log, "--policy", strict, "--good-peak", "10000", "--json"}
	status, out, stderr = replayed(t, ctx, args...)
	var r stormdoor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != 0 || stderr != "" || r.Log != log || r.Cases[0].Refused != 8990 || r.Cases[0].TouchedGood != 1 {
		t.Errorf("status %d, %v, %s\n%s", status, err, stderr, out)
	}
	if status, _, _ := replayed(t, ctx, append(args, "--fail-on-good")...); status != 1 {
		t.Errorf("--fail-on-good: status %d", status)
	}
	if status, _, _ := replayed(t, ctx, log, "--fail-on-good"); status != 0 {
		t.Errorf("--fail-on-good with nobody touched: status %d", status)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	status, out, stderr = replayed(t, stopped, log)
	if status != 130 || !strings.Contains(out, "a part of the log only") || !strings.Contains(stderr, "interrupted after 4096 requests") {
		t.Errorf("interrupted: status %d, %s\n%s", status, stderr, out)
	}
}

func TestReplayCommandErrors(t *testing.T) {
	log := writeFile(t, "access.log", logLine)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"/no/such.log"}, "access log /no/such.log: there is no such file"},
		{[]string{writeFile(t, "empty.log", "")}, "empty.log is empty"},
		{[]string{writeFile(t, "prose.log", "this is\nno log\n")}, "in none of the known formats"},
		{[]string{log, "--policy", "/no/such.yaml"}, "policy /no/such.yaml: "},
		{[]string{log, "--site", "shop"}, `the policy has no site "shop"`},
	} {
		status, out, stderr := replayed(t, t.Context(), c.args...)
		if status != 1 || out != "" || !strings.HasPrefix(stderr, "stormdoor: ") || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: status %d, %q, %q", c.args, status, out, stderr)
		}
	}
}

func TestReplayProgress(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{w: &b, now: func() time.Time { return now }, every: 10 * time.Second, begun: now, told: now}
	for range 25 {
		now = now.Add(time.Second)
		n := now.Unix()
		p.tell(stormdoor.ReplayProgress{Requests: 1000 * n, Read: 100 * n, Total: 4000})
	}
	p.end()
	if want := "25 %, 10000 requests, 1000 a second, 30s left\n50 %, 20000 requests, 1000 a second, 20s left\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
	b.Reset()
	p = &progress{w: &b, now: func() time.Time { return now }, every: time.Second, terminal: true, begun: now.Add(-time.Second), told: now.Add(-time.Second)}
	p.tell(stormdoor.ReplayProgress{Requests: 5})
	p.end()
	if want := fmt.Sprint("\r5 requests, 5 a second\x1b[K", "\r\x1b[K"); b.String() != want {
		t.Errorf("%q", b.String())
	}
}
