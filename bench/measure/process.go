package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a peer that runs in a process group of its own, so that its workers are counted and ended with it.
type process struct {
	cmd   *exec.Cmd
	said  string        // the file with what it has said
	ended chan struct{} // closed when it has ended
	err   error         // of its end, after ended
}

// start runs a program. Its group is written to groups, so that whoever started this program can end it, whatever
// happens here.
func start(dir, name, groups string, env []string, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), said: filepath.Join(dir, name+".said"), ended: make(chan struct{})}
	said, err := os.OpenFile(p.said, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer said.Close()
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env, p.cmd.Dir = said, said, append(os.Environ(), env...), dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	if err := note(groups, p.cmd.Process.Pid); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func note(groups string, pid int) error {
	f, err := os.OpenFile(groups, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, pid)
	return errors.Join(err, f.Close())
}

// stop ends the whole group and waits for the process that leads it.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(2 * time.Second):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // workers that a master has left behind
}

// await asks url until any answer below 500 comes.
func (p *process) await(url string) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	last := errors.New("no answer")
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if !p.serves() {
			return fmt.Errorf("it ended at once: %v: %s", p.err, p.lastWords())
		}
		res, err := client.Get(url)
		if err != nil {
			last = err
			continue
		}
		res.Body.Close()
		if res.StatusCode < 500 {
			return nil
		}
		last = errors.New(res.Status)
	}
	return fmt.Errorf("it does not serve: %w: %s", last, p.lastWords())
}

// serves is false once the process that leads the group has ended.
func (p *process) serves() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) lastWords() string {
	b, err := os.ReadFile(p.said)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-600):])
}

// tick is the unit of times in /proc/PID/stat, in microseconds: USER_HZ is 100 on every architecture of Linux that Go
// runs on.
const tick = 10_000

// cpu is the user and system time of the group so far, in microseconds.
func (p *process) cpu() (us int64) {
	p.each(func(_ string, stat []string) {
		user, _ := strconv.ParseInt(stat[11], 10, 64)
		system, _ := strconv.ParseInt(stat[12], 10, 64)
		us += (user + system) * tick
	})
	return us
}

// resident is the memory of the group that is in RAM (VmRSS), in bytes. What workers share is counted for each.
func (p *process) resident() (bytes int64) {
	p.each(func(dir string, _ []string) {
		b, err := os.ReadFile(dir + "/status")
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(string(b), "VmRSS:")
		if f := strings.Fields(rest); len(f) > 0 {
			kb, _ := strconv.ParseInt(f[0], 10, 64)
			bytes += kb << 10
		}
	})
	return bytes
}

// each calls f for each process of the group with its folder in /proc and the fields of its stat, from the state on (the
// third of proc(5)).
func (p *process) each(f func(dir string, stat []string)) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	group := strconv.Itoa(p.cmd.Process.Pid)
	for _, dir := range dirs {
		b, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		name := bytes.LastIndexByte(b, ')') // the name may hold anything
		if stat := strings.Fields(string(b[name+1:])); len(stat) > 20 && stat[2] == group {
			f(dir, stat)
		}
	}
}
