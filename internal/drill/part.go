package drill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Nothing is the argument or the reply of a call that has none.
type Nothing struct{}

// Part runs one part of a drill ("origin", "door", "visitors", "storm") and serves the director's calls from in until it
// is closed, which is how every part ends when its director does.
func Part(kind string, in io.ReadCloser, out io.WriteCloser) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var part any
	switch kind {
	case "origin":
		part = &Origin{ctx: ctx}
	case "door":
		part = &Door{ctx: ctx}
	case "visitors":
		part = &Visitors{ctx: ctx}
	case "storm":
		part = &Storm{ctx: ctx}
	default:
		return fmt.Errorf("a drill has no part %q; this command is for the drill itself", kind)
	}
	s := rpc.NewServer()
	if err := s.RegisterName("Part", part); err != nil {
		return err
	}
	s.ServeConn(pipe{bufio.NewReader(in), out, in})
	return nil
}

// pipe is a two-way stream over two files.
type pipe struct {
	io.Reader
	io.WriteCloser
	in io.Closer
}

func (p pipe) Close() error { return errors.Join(p.WriteCloser.Close(), p.in.Close()) }

// child is a part that runs.
type child struct {
	kind   string
	cmd    *exec.Cmd
	client *rpc.Client
	said   *tail
	ended  chan struct{}
	err    error // of the process, once ended is closed
}

// patience bounds each call to a part: a part that does not answer in this time is a failed drill, not a slow one.
const patience = 20 * time.Second

// start runs a part of the drill.
func start(ctx context.Context, self []string, kind string) (*child, error) {
	cmd := exec.CommandContext(ctx, self[0], append(append([]string(nil), self[1:]...), kind)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c := &child{kind: kind, cmd: cmd, said: &tail{}, ended: make(chan struct{})}
	cmd.Stderr = c.said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", kind, err)
	}
	c.client = rpc.NewClient(pipe{out, in, out})
	go func() { c.err = cmd.Wait(); close(c.ended) }()
	return c, nil
}

// call asks the part. The error carries what the part has said last when it is gone.
func (c *child) call(method string, args, reply any) error {
	done := c.client.Go("Part."+method, args, reply, make(chan *rpc.Call, 1)).Done
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case call := <-done:
		if call.Error == nil {
			return nil
		}
		if errors.Is(call.Error, rpc.ErrShutdown) || errors.Is(call.Error, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the %s is gone: %s", c.kind, c.said)
		}
		return fmt.Errorf("the %s: %w", c.kind, call.Error)
	case <-t.C:
		return fmt.Errorf("the %s has not answered %s within %v: %s", c.kind, method, patience, c.said)
	}
}

// stop ends the part and waits for it.
func (c *child) stop() {
	c.client.Close()
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second):
		c.kill()
	}
}

// kill ends the part at once, as the system's out-of-memory killer would.
func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.ended
	c.client.Close()
}

// tail keeps the last words of a part.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - tailBytes; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := strings.TrimSpace(string(t.text)); s != "" {
		return s
	}
	return "it has said nothing"
}

// usage is what a process has used.
type usage struct {
	CPU time.Duration // user and system, of the process and of its children that it has waited for
	RSS int64         // bytes resident now
}

// meter adds up what one process after the other has used, when a part is killed and started again. Its zero value is ready.
type meter struct {
	pid         int
	last, ended time.Duration // processor time: of pid when it was last seen, of those before it
}

// read is what all of them have used until now; a process that is not there holds no memory. by is use, or stands for it.
func (m *meter) read(pid int, by func(pid int) (usage, error)) usage {
	u, err := by(pid)
	if err != nil {
		return usage{CPU: m.ended + m.last}
	}
	if pid != m.pid {
		m.pid, m.ended, m.last = pid, m.ended+m.last, 0
	}
	m.last = u.CPU
	u.CPU += m.ended
	return u
}

// use reads what the process and those that it started use, from /proc.
func use(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name, in parentheses, may hold anything; fields count from behind it (proc(5)).
	rest := stat[strings.LastIndexByte(string(stat), ')')+1:]
	fields := strings.Fields(string(rest))
	if len(fields) < 22 {
		return u, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks, pages int64
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		var n int64
		fmt.Sscan(fields[i], &n)
		ticks += n
	}
	fmt.Sscan(fields[21], &pages)
	return usage{CPU: time.Duration(ticks) * (time.Second / 100), RSS: pages * int64(os.Getpagesize())}, nil
}
