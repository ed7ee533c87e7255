//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. Nothing here takes a tenth of it on an idle machine.
const patience = 20 * time.Second

// binary is the door under test: $STORMDOOR, or one that TestMain has built.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	binary = os.Getenv("STORMDOOR")
	if binary == "" {
		dir, err := os.MkdirTemp("", "stormdoor-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "stormdoor")
		if out, err := exec.Command("go", "build", "-o", binary, "stormdoor/cmd/stormdoor").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "the door does not build: %v\n%s", err, out)
			return 1
		}
	}
	abs, err := filepath.Abs(binary)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "STORMDOOR names no binary: %v\n", err)
		return 1
	}
	binary = abs
	return m.Run()
}

// nextPort lies below the ports that the system gives to outgoing connections, so that none of those takes one first.
var nextPort = func() *atomic.Int32 {
	n := new(atomic.Int32)
	n.Store(20000 + int32(os.Getpid()%9000))
	return n
}()

// freeAddr is a loopback address on which nothing listens.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 2000 {
		addr := "127.0.0.1:" + strconv.Itoa(int(nextPort.Add(1)))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port between 20000 and 31000")
	return ""
}

// program finds an installed program that a test needs.
func program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := exec.LookPath("/usr/sbin/" + name)
	if err != nil {
		t.Fatalf("%s is not installed: make tools installs it", name)
	}
	return path
}

// write makes a file in a folder of the test's own and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// await asks until ok says yes.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

// process is a child that ends with the test at the latest.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	said   string        // the file with what it has said
	exited chan struct{} // closed when it has ended
	err    error         // of Wait, after exited
}

// spawn starts a child in a process group of its own. What it says is shown when the test has failed.
func spawn(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, said: write(t, "said", ""), exited: make(chan struct{})}
	said, err := os.OpenFile(p.said, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.exited); p.err = cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the whole group, for what the child has started
		<-p.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), lastLines(p.output(), 60))
		}
	})
	return p
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// output is what the process, and what it has started, have said so far.
func (p *process) output() string {
	b, err := os.ReadFile(p.said)
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end of the process and returns its exit status.
func (p *process) ended() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended", p.cmd.Path)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// door is a running door.
type door struct {
	*process
	addr, admin string // of the listener in clear text, and of the admin listener
	url         string // http://addr
	file        string // the policy
}

// startDoor serves the sites (and more top-level fields) of a policy on free ports until the test ends, and requires a
// clean exit then.
func startDoor(t testing.TB, policy string) *door {
	t.Helper()
	d := &door{addr: freeAddr(t), admin: freeAddr(t)}
	d.url = "http://" + d.addr
	d.file = write(t, "stormdoor.yaml", d.policy(policy))
	d.start(t, exec.Command(binary, "serve", "-c", d.file))
	return d
}

// policy adds the door's own addresses to a policy that does not name them.
func (d *door) policy(text string) string {
	if !strings.Contains(text, "\nlisten:") {
		text += "\nlisten: {http: ['" + d.addr + "']}"
	}
	return text + "\nadmin: {listen: '" + d.admin + "'}\n"
}

// rewrite replaces the policy file; nothing is applied yet.
func (d *door) rewrite(policy string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(d.policy(policy)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// start runs cmd and waits until it serves; at the end of the test it must exit with 0 on SIGTERM.
func (d *door) start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "XDG_DATA_HOME="+t.TempDir(), "STATE_DIRECTORY=")
	d.process = spawn(t, cmd)
	t.Cleanup(func() {
		select {
		case <-d.exited:
			return // the test has ended it
		default:
		}
		d.signal(syscall.SIGTERM)
		if code := d.ended(); code != 0 {
			t.Errorf("after SIGTERM the door exited with %d", code)
		}
	})
	d.awaitReady()
}

// awaitReady waits until the door takes requests.
func (d *door) awaitReady() {
	d.t.Helper()
	await(d.t, "the door's readiness", func() bool {
		select {
		case <-d.exited:
			d.t.Fatalf("the door has ended: %v", d.err)
		default:
		}
		status, _, _ := fetch("http://" + d.admin + "/healthz")
		return status == http.StatusOK
	})
}

// fetch gets a URL on a connection of its own. The status is 0 when there was no answer.
func fetch(url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(res.Body)
	return res.StatusCode, b.String(), err
}

// command runs a program to its end and returns what it printed and its exit status.
func command(t testing.TB, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// curl runs curl, which must succeed, and returns what it printed.
func curl(t testing.TB, args ...string) string {
	t.Helper()
	out, errs, status := command(t, program(t, "curl"), append([]string{"-sS", "--max-time", "40"}, args...)...)
	if status != 0 {
		t.Fatalf("curl %s: exit status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

// peakMemory is the most memory that the process has had resident so far, in bytes.
func (p *process) peakMemory() int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(rest + " 0")[0])
	if !ok || err != nil {
		p.t.Fatalf("no VmHWM in %s", b)
	}
	return kb << 10
}
