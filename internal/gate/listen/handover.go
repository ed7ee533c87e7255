package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	readyWord       = "ready"
	handoverTimeout = 30 * time.Second
)

// Handover is how the door gives its sockets to a new process. The zero value starts the program's own file again with
// the same arguments.
type Handover struct {
	// Path is the new binary. Default: the file that this process was started from, so what was installed over it.
	Path string
	// Args are the arguments without the program's name. Default: this process's.
	Args []string
	// Env is the environment. Default: this process's. The variables of the handover are added.
	Env []string
	// Timeout is how long the new process has to become ready. Default 30 s.
	Timeout time.Duration
}

// Handover starts the new process with all sockets of s and waits until it is ready (Inherited.Ready). Then this one
// should stop accepting and end its connections in peace; the files of unix sockets are the new process's. On an error
// the new process is gone and this one goes on as if nothing had been tried.
func (s *Set) Handover(ctx context.Context, h Handover) (pid int, err error) {
	if err := h.defaults(); err != nil {
		return 0, fmt.Errorf("handover: %w", err)
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("handover: %w", err)
	}
	defer ours.Close()
	defer theirs.Close()
	cmd, closeFiles, err := s.command(h, theirs)
	defer closeFiles()
	if err != nil {
		return 0, fmt.Errorf("handover: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("handover: cannot start %s: %w", h.Path, err)
	}
	_ = theirs.Close() // from now on an end of file means that the new process is gone
	if err := awaitReady(ctx, cmd, ours, h.Timeout); err != nil {
		return 0, fmt.Errorf("handover to %s failed, this process goes on serving: %w", h.Path, err)
	}
	for _, k := range s.sockets {
		if u, ok := k.listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
	}
	pid = cmd.Process.Pid
	_ = cmd.Process.Release()
	return pid, nil
}

func (h *Handover) defaults() (err error) {
	if h.Path == "" {
		if h.Path, err = os.Executable(); err != nil {
			return fmt.Errorf("cannot tell where the program is: %w", err)
		}
	}
	if h.Args == nil {
		h.Args = os.Args[1:]
	}
	if h.Env == nil {
		h.Env = os.Environ()
	}
	if h.Timeout <= 0 {
		h.Timeout = handoverTimeout
	}
	return nil
}

// command prepares the new process. closeFiles closes this process's copies of what it is given.
func (s *Set) command(h Handover, ready *os.File) (cmd *exec.Cmd, closeFiles func(), err error) {
	cmd = exec.Command(h.Path, h.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	closeFiles = func() {
		for _, f := range cmd.ExtraFiles {
			if f != ready {
				_ = f.Close()
			}
		}
	}
	var names []string
	for _, k := range s.sockets {
		f, err := k.file()
		if err != nil {
			return cmd, closeFiles, fmt.Errorf("socket %s: %w", k.addr, err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		names = append(names, url.QueryEscape(k.addr))
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, ready)
	cmd.Env = slices.DeleteFunc(slices.Clone(h.Env), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{envListenPID, envListenFDs, envListenNames, envHandover, envReady, envWatchdogPID}, k)
	})
	cmd.Env = append(cmd.Env,
		envHandover+"="+strings.Join(names, ","),
		envReady+"="+strconv.Itoa(firstFD+len(cmd.ExtraFiles)-1))
	return cmd, closeFiles, nil
}

// awaitReady waits for the new process's word. When it does not come, the process is ended and waited for.
func awaitReady(ctx context.Context, cmd *exec.Cmd, from *os.File, timeout time.Duration) error {
	_ = from.SetReadDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	word := make([]byte, len(readyWord))
	_, err := io.ReadFull(from, word)
	if err == nil && string(word) == readyWord {
		return nil
	}
	killed := cmd.Process.Kill() == nil && errors.Is(err, os.ErrDeadlineExceeded)
	ended := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case killed:
		return fmt.Errorf("the new process was not ready within %s and was stopped", timeout)
	case ended != nil:
		return fmt.Errorf("the new process ended before it was ready (%w); its last words are in the log", ended)
	}
	return errors.New("the new process ended before it was ready, without an error; its last words are in the log")
}
