package drill

import (
	"context"
	"os"
	"time"
)

// ours is our own door as the front of a take.
type ours struct {
	self []string
	spec DoorSpec
	c    *child
	at   DoorAddrs
}

func startDoor(ctx context.Context, self []string, spec DoorSpec) (front, error) {
	f := &ours{self: self, spec: spec}
	return f, f.open(ctx)
}

func (f *ours) open(ctx context.Context) (err error) {
	if f.c, err = start(ctx, f.self, "door"); err != nil {
		return err
	}
	if err = f.c.call("Start", f.spec, &f.at); err != nil {
		f.c.stop()
	}
	return err
}

func (f *ours) addrs() DoorAddrs { return f.at }
func (f *ours) pid() int         { return f.c.cmd.Process.Pid }
func (f *ours) stop()            { f.c.stop() }

func (f *ours) logBytes() int64 {
	info, err := os.Stat(f.spec.Log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// perform carries out a fault of the door.
func (f *ours) perform(ctx context.Context, s *Scene, fault Fault) error {
	switch {
	case fault.Apply != "":
		return f.c.call("Apply", s.parts[fault.Apply], &Nothing{})
	case fault.Clock != "":
		by, err := time.ParseDuration(fault.Clock)
		if err != nil {
			return err
		}
		return f.c.call("StepClock", by, &Nothing{})
	case fault.Kill:
		f.c.kill()
		f.spec.Again = f.at
		return f.open(ctx)
	}
	return nil
}
