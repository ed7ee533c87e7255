package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// roleEnv makes this program a part of a storm: "origin SERVICE", or "visitors CASE SCALE ADDRESS".
const roleEnv = "STORM_ROLE"

// part is a part of a storm in a process of its own: a crowd uses up the descriptors of its process and the time of its runtime, and
// neither is to be the origin's or what visitors are measured by.
type part struct {
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *json.Decoder
}

func startPart(role ...string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &part{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), roleEnv+"="+strings.Join(role, " "))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.ask, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(out)
	return p, p.cmd.Start()
}

func (p *part) stop() {
	_ = p.ask.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// report is what it has counted since the last call.
func (p *part) report(into any) error {
	_, err := fmt.Fprintln(p.ask)
	if err == nil {
		err = p.answers.Decode(into)
	}
	if err != nil {
		return fmt.Errorf("a part of the storm has ended: %w", err)
	}
	return nil
}

// play is what startPart starts: it answers each line until nobody asks any more.
func play(role string) error {
	report, stop, err := begin(strings.Fields(role))
	if err != nil {
		return err
	}
	defer stop()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := json.NewEncoder(os.Stdout).Encode(report()); err != nil {
			return err
		}
	}
	return nil
}

func begin(role []string) (report func() any, stop func(), err error) {
	switch {
	case len(role) == 2 && role[0] == "origin":
		service, err := time.ParseDuration(role[1])
		if err != nil {
			return nil, nil, err
		}
		o, err := startOrigin(service)
		if err != nil {
			return nil, nil, err
		}
		return func() any { return o.report() }, o.stop, nil
	case len(role) == 4 && role[0] == "visitors":
		scale, err := strconv.ParseFloat(role[2], 64)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range storms {
			if s.name == role[1] {
				var t tally
				c := newCrowd(context.Background(), role[3])
				s.visitors(ground{scale: scale}, c, &t)
				return func() any { return t.report() }, c.end, nil
			}
		}
	}
	return nil, nil, errors.New("there is no such part of a storm")
}
