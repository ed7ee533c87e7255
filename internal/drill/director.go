package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// director plays scenes: it starts the parts, lets the storm loose, breaks what the scene says, and watches.
type director struct {
	Options
	dir        string
	number, of int
}

// front is what stands before the origin in one take: our door, or a peer.
type front interface {
	addrs() DoorAddrs
	pid() int
	// perform carries out a fault of the front itself.
	perform(ctx context.Context, s *Scene, f Fault) error
	logBytes() int64
	stop()
}

// take is one run of a scene, with the defence on or off.
type take struct {
	*director
	scene  *Scene
	spec   DoorSpec
	front  front
	origin *child
	guests *child
	storms []*child

	warm, before, during, after time.Duration
	begin                       time.Time // of the take, then of its phases
	meter                       meter     // of the front
	record                      record
}

// record is what was seen in one take.
type record struct {
	Windows                 []Window
	Samples                 []Sample
	StormBegin, StormEnd    time.Time
	Storm                   StormStats
	OriginBefore, OriginEnd OriginStats // at the storm's begin and end
	DoorIdle, DoorStorm     time.Duration
	DoorBefore, DoorAfter   usage
	PeakRSS                 int64
	LogBytes                int64 // during the storm
	PeakInFlight            int64
	GeneratorCPU            time.Duration
	Wrong                   []string // what went otherwise than the scene says
}

// tick is how often the director looks.
const tick = 250 * time.Millisecond

// warmUp is how long the good visitors come before anything is measured, of a whole scene of ten seconds: long enough for
// the door to know them. Without a defence nobody needs to be known.
const (
	warmUp    = 2500 * time.Millisecond
	warmUpOff = time.Second
)

// play runs a scene: with the defence on, and where it has a storm, with the defence off to compare with.
func (d *director) play(ctx context.Context, s Scene) (*Score, error) {
	on := &take{director: d, scene: &s, warm: warmUp, before: d.Length * 10 / 100, during: d.Length * 25 / 100, after: d.Length * 13 / 100}
	if len(s.Storm) == 0 {
		on.before, on.during, on.after = d.Length*20/100, d.Length*35/100, d.Length*20/100
	}
	withDefence, err := on.run(ctx)
	if err != nil {
		return nil, err
	}
	score := newScore(&s, withDefence, d.Length)
	if len(s.Storm) > 0 {
		off := &take{director: d, scene: &s, warm: warmUpOff, before: d.Length * 4 / 100, during: d.Length * 15 / 100, spec: DoorSpec{Off: true}}
		without, err := off.run(ctx)
		if err != nil {
			return nil, fmt.Errorf("with the defence off: %w", err)
		}
		score.compare(withDefence, without)
	}
	for _, name := range d.Compare {
		peer := &take{director: d, scene: &s, warm: warmUp, before: on.before, during: on.during, after: on.after}
		seen, err := peer.runPeer(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		score.addPeer(name, seen)
	}
	score.judge()
	return score, nil
}

// run plays the scene once in front of our door.
func (t *take) run(ctx context.Context) (*record, error) {
	return t.stage(ctx, func(ctx context.Context, origin string) (front, error) {
		t.spec.Policy, t.spec.Origin, t.spec.Dir = t.Policy, origin, t.dir
		t.spec.Added = t.scene.parts[t.scene.Policy]
		t.spec.Log = filepath.Join(t.dir, fmt.Sprintf("%s-%t.log", t.scene.Name, t.spec.Off))
		if t.scene.DiskFull {
			t.spec.Log = "/dev/full"
		}
		if t.Record != "" {
			t.spec.Access = 1
		}
		if !t.spec.Off {
			t.spec.Sabotage = t.sabotage
		}
		return startDoor(ctx, t.Self, t.spec)
	})
}

// stage starts everything, plays the scene and takes everything down again.
func (t *take) stage(ctx context.Context, build func(ctx context.Context, origin string) (front, error)) (*record, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	if t.origin, err = start(ctx, t.Self, "origin"); err != nil {
		return nil, err
	}
	defer t.origin.stop()
	var origin string
	if err := t.origin.call("Start", t.scene.origin(), &origin); err != nil {
		return nil, err
	}
	if t.front, err = build(ctx, origin); err != nil {
		return nil, err
	}
	defer func() { t.front.stop() }()
	if t.guests, err = start(ctx, t.Self, "visitors"); err != nil {
		return nil, err
	}
	defer t.guests.stop()
	at := t.front.addrs()
	if err := t.guests.call("Start", VisitorsSpec{Clear: at.Clear, Secure: at.Secure, Seed: t.Seed}, &Nothing{}); err != nil {
		return nil, err
	}
	for range t.scene.Storm {
		s, err := start(ctx, t.Self, "storm")
		if err != nil {
			return nil, err
		}
		defer s.stop()
		t.storms = append(t.storms, s)
	}
	if err := t.perform(ctx); err != nil {
		return nil, err
	}
	return &t.record, t.keep()
}

// perform is the scene itself: before, during, after.
func (t *take) perform(ctx context.Context) error {
	t.begin = time.Now()
	if err := t.watch(ctx, "warming up", t.warm, nil); err != nil {
		return err
	}
	t.record.Samples = nil // what happened while everybody arrived counts for nobody
	cpu := t.usage()
	if err := t.watch(ctx, "before", t.before, nil); err != nil {
		return err
	}
	r := &t.record
	r.DoorBefore, r.DoorIdle = t.usage(), t.usage().CPU-cpu.CPU
	logged, generators := t.front.logBytes(), t.generators()
	if err := t.origin.call("Stats", Nothing{}, &r.OriginBefore); err != nil {
		return err
	}
	r.StormBegin = time.Now()
	if err := t.unleash(); err != nil {
		return err
	}
	err := t.watch(ctx, "storm", t.during, t.faults(ctx))
	r.StormEnd = time.Now()
	if err != nil {
		return err
	}
	r.DoorStorm = t.usage().CPU - r.DoorBefore.CPU
	r.LogBytes, r.GeneratorCPU = t.front.logBytes()-logged, t.generators()-generators
	if err := t.origin.call("Stats", Nothing{}, &r.OriginEnd); err != nil {
		return err
	}
	if err := t.calm(); err != nil {
		return err
	}
	if err := t.watch(ctx, "after", t.after, nil); err != nil {
		return err
	}
	r.DoorAfter = t.usage()
	return nil
}

// unleash begins the storm.
func (t *take) unleash() error {
	at := t.front.addrs()
	for i, s := range t.storms {
		o := StormOrder{Spec: t.scene.Storm[i], Clear: at.Clear, Secure: at.Secure, Seed: t.Seed + uint64(i), Length: t.during}
		if err := s.call("Start", o, &Nothing{}); err != nil {
			return err
		}
	}
	if t.scene.Crowd > 0 {
		return t.guests.call("Crowd", t.scene.Crowd, &Nothing{})
	}
	return nil
}

// calm ends the storm and adds up what it did.
func (t *take) calm() error {
	for _, s := range t.storms {
		var st StormStats
		if err := errors.Join(s.call("Stop", Nothing{}, &Nothing{}), s.call("Stats", Nothing{}, &st)); err != nil {
			return err
		}
		t.record.Storm.add(st)
	}
	if t.scene.Crowd > 0 {
		return t.guests.call("Crowd", 0, &Nothing{})
	}
	return nil
}

// faults returns what has to happen at which time of the storm.
func (t *take) faults(ctx context.Context) func(elapsed time.Duration) error {
	next := 0
	return func(elapsed time.Duration) error {
		for next < len(t.scene.Faults) && elapsed >= time.Duration(t.scene.Faults[next].At*float64(t.during)) {
			f := t.scene.Faults[next]
			next++
			if f.Origin != nil {
				if err := t.origin.call("Break", *f.Origin, &Nothing{}); err != nil {
					return err
				}
				continue
			}
			t.usage() // what a door that is killed now has used
			err := t.front.perform(ctx, t.scene, f)
			switch {
			case f.Refused && err == nil:
				t.record.Wrong = append(t.record.Wrong, "the door took a policy that it should refuse: "+f.Apply)
			case !f.Refused && err != nil:
				return err
			}
		}
		return nil
	}
}

// watch looks every tick for the length of a phase and lets happen what act says.
func (t *take) watch(ctx context.Context, phase string, length time.Duration, act func(time.Duration) error) error {
	begin := time.Now()
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		if act != nil {
			if err := act(time.Since(begin)); err != nil {
				return err
			}
		}
		if time.Since(begin) >= length {
			return nil
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := t.look(phase); err != nil {
			return err
		}
	}
}

// look makes a window of what has happened since the last one.
func (t *take) look(phase string) error {
	var samples []Sample
	var origin OriginStats
	if err := errors.Join(t.guests.call("Take", Nothing{}, &samples), t.origin.call("Stats", Nothing{}, &origin)); err != nil {
		return err
	}
	var storm StormStats
	for _, s := range t.storms {
		var st StormStats
		if err := s.call("Stats", Nothing{}, &st); err != nil {
			return err
		}
		storm.add(st)
	}
	u := t.usage()
	r := &t.record
	r.Samples = append(r.Samples, samples...)
	r.PeakRSS = max(r.PeakRSS, u.RSS)
	if phase == "storm" {
		r.PeakInFlight = max(r.PeakInFlight, origin.MostAtOne)
	}
	w := Window{At: Seconds(time.Since(t.begin)), Phase: phase, OriginLoad: origin.LoadNow, DoorRSS: u.RSS}
	w.count(samples, storm, r.Windows)
	r.Windows = append(r.Windows, w)
	t.Progress(Progress{Scene: t.scene.Name, Number: t.number, Of: t.of, Phase: phase, Elapsed: time.Since(t.begin), Length: t.warm + t.before + t.during + t.after, Now: w})
	return nil
}

// usage is what the door has used.
func (t *take) usage() usage { return t.meter.read(t.front.pid(), use) }

// generators is the processor time of visitors and storm, which is not the door's.
func (t *take) generators() (sum time.Duration) {
	for _, c := range append(append([]*child(nil), t.storms...), t.guests) {
		if u, err := use(c.cmd.Process.Pid); err == nil {
			sum += u.CPU
		}
	}
	return sum
}

// keep appends the door's log to the tape that the operator wants.
func (t *take) keep() error {
	if t.Record == "" || t.spec.Off || t.scene.DiskFull || t.spec.Log == "" {
		return nil
	}
	b, err := os.ReadFile(t.spec.Log)
	if err != nil {
		return fmt.Errorf("the tape: %w", err)
	}
	f, err := os.OpenFile(t.Record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the tape: %w", err)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// quantile is the q-th quantile of the times, 0 for none. It sorts them.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times[min(len(times)-1, int(q*float64(len(times))))]
}
