package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// originEnv makes this program an origin whose service takes so long.
const originEnv = "STORM_ORIGIN"

// apart is an origin in a process of its own: clients use up the descriptors of theirs.
type apart struct {
	address string
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
}

func startApart(service time.Duration) (*apart, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &apart{cmd: exec.Command(self)}
	a.cmd.Env = append(os.Environ(), originEnv+"="+service.String())
	a.cmd.Stderr = os.Stderr
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if a.ask, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	a.answers = bufio.NewReader(out)
	if _, err := fmt.Fscanln(a.answers, &a.address); err != nil {
		a.stop()
		return nil, fmt.Errorf("the origin does not start: %w", err)
	}
	return a, nil
}

func (a *apart) stop() {
	_ = a.ask.Close()
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// forget begins to count anew.
func (a *apart) forget() error {
	_, _, _, err := a.report(time.Second)
	return err
}

// report is origin.report since the last call.
func (a *apart) report(span time.Duration) (done, most int64, busy float64, err error) {
	if _, err = fmt.Fprintln(a.ask, span); err == nil {
		_, err = fmt.Fscanln(a.answers, &done, &most, &busy)
	}
	if err != nil {
		err = fmt.Errorf("the origin has ended: %w", err)
	}
	return done, most, busy, err
}

// beOrigin is what startApart starts: for each line, which is a span, it reports and forgets, until nobody asks any more.
func beOrigin(service string) error {
	d, err := time.ParseDuration(service)
	if err != nil {
		return err
	}
	o, err := startOrigin(d)
	if err != nil {
		return err
	}
	defer o.stop()
	fmt.Println(o.address)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		span, err := time.ParseDuration(lines.Text())
		if err != nil {
			return err
		}
		done, most, busy := o.report(span)
		o.forget()
		fmt.Println(done, most, busy)
	}
	return nil
}
