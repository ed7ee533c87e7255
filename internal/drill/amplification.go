package drill

import (
	"fmt"
	"time"
)

// Row is one thing that a defence can spend, with the defence on and off in the same storm.
type Row struct {
	What string  `json:"what"`
	Unit string  `json:"unit"`
	On   float64 `json:"on"`
	Off  float64 `json:"off"`
	// Ratio is On to Off; 0 where Off is nothing, and where both are too small to compare.
	Ratio float64 `json:"ratio"`
	// Ceiling is the most that the law allows: a ratio, or with Absolute a figure in Unit.
	Ceiling float64 `json:"ceiling"`
	// Allowed is the ratio that is held against it: the ceiling, and what two takes of one storm differ by. 0 with Absolute.
	Allowed float64 `json:"allowed,omitempty"`
	// Beside is what is allowed above the ratio, in Unit.
	Beside   float64 `json:"beside,omitempty"`
	Absolute bool    `json:"absolute,omitempty"`
	Pass     bool    `json:"pass"`
	Note     string  `json:"note,omitempty"`
}

// Figure is what counts of a row, in words.
func (r Row) Figure() string {
	if r.Absolute {
		return fmt.Sprintf("%.4g %s", r.On, r.Unit)
	}
	return fmt.Sprintf("%.2f x", r.Ratio)
}

// Bound is the ceiling, in words, with what is allowed for the differences of two takes.
func (r Row) Bound() string {
	switch {
	case r.Absolute:
		return fmt.Sprintf("%.4g %s", r.Ceiling, r.Unit)
	case r.Beside > 0:
		return fmt.Sprintf("%.2f x and %.4g %s", r.Ceiling, r.Beside, r.Unit)
	case r.Allowed > r.Ceiling:
		return fmt.Sprintf("%.2f x, in two takes %.2f x", r.Ceiling, r.Allowed)
	}
	return fmt.Sprintf("%.2f x", r.Ceiling)
}

// The ceilings of the first law, and what two measurements of the same thing differ by on a busy machine.
const (
	ceiling      = 1.1
	noiseTraffic = 1.1 // requests of two takes, which are paced by a clock
	noiseCPU     = 1.6 // processor time of two takes of a few seconds, on a machine that does other things
	// smallCPU is the share of one processor below which a storm costs the door nothing worth comparing. To end a connection that
	// trickles costs as much as to hold it for a while, and only who ends it pays that while the storm lasts.
	smallCPU = 0.03
	// manyCPU is how much processor time of both takes it needs for the noise of single scenes to even out.
	manyCPU = 10 * time.Second
	// fixedMemory is what a door may use that its defences are off in the other take: tables of fixed size, which the
	// system gives it page by page as they are used, and garbage that is not collected yet.
	fixedMemory = 96 << 20
	// fewReach is the share of hostile requests that may reach the origin without being compared: one in ten.
	fewReach = 0.1
	// smallAnswer is how many bytes a bot may be answered for a request without a comparison: a refusal cannot be shorter
	// than every answer.
	smallAnswer = 1 << 10
)

// costs are what one hostile request has cost in one take, and what the storm as a whole has.
type costs struct {
	sent           float64
	originRequests float64
	originTime     float64       // ms
	cpu            float64       // us
	bytes          float64       // out per byte in
	answer         float64       // bytes that come back
	memory         float64       // MiB
	log            float64       // KiB/s
	spent          time.Duration // of the door's processor, in all
	share          float64       // of one processor
}

// costs counts a take. idle is how many processors the door uses for the good visitors alone.
func (r *record) costs(idle float64) costs {
	length := r.StormEnd.Sub(r.StormBegin)
	c := costs{sent: float64(max(1, r.Storm.Sent)), spent: max(0, r.DoorStorm-time.Duration(idle*float64(length)))}
	c.originRequests = float64(r.OriginEnd.Hostile-r.OriginBefore.Hostile) / c.sent
	c.originTime = (r.OriginEnd.HostileBusy - r.OriginBefore.HostileBusy).Seconds() * 1e3 / c.sent
	c.cpu = c.spent.Seconds() * 1e6 / c.sent
	// Without a defence many requests wait for an answer still when the storm ends: only those that got one count.
	if got := float64(r.Storm.Answered + r.Storm.Refused); got > 0 {
		c.answer = float64(r.Storm.BytesIn) / got
	}
	c.bytes = c.answer * c.sent / float64(max(1, r.Storm.BytesOut))
	c.share = c.spent.Seconds() / max(0.001, length.Seconds())
	c.memory = float64(r.PeakRSS) / (1 << 20)
	c.log = float64(r.LogBytes) / 1024 / max(0.001, length.Seconds())
	return c
}

// idle is how many processors the door has used before the storm.
func (r *record) idle() float64 {
	n := 0
	for _, w := range r.Windows {
		if w.Phase == "before" {
			n++
		}
	}
	return float64(r.DoorIdle) / float64(max(1, n)) / float64(tick)
}

// compare fills in the amplification table: what the door spends on the storm, beside the same storm with every defence
// off. What is compared is the cost of one hostile request, so that bots that are answered sooner and hence ask more
// often do not count twice.
func (s *Score) compare(on, off *record) {
	idle := min(on.idle(), off.idle()) // the same good visitors come to both
	a, b := on.costs(idle), off.costs(idle)
	few := a.originRequests <= fewReach
	s.Amplification = []Row{
		ratio("origin requests", "each", a.originRequests, b.originRequests, noiseTraffic).unless(few, "fewer than one in ten reach it"),
		ratio("origin time", "ms each", a.originTime, b.originTime, noiseTraffic).unless(few, "fewer than one in ten reach it"),
		ratio("door CPU", "us each", a.cpu, b.cpu, noiseCPU).unless(max(a.share, b.share) < smallCPU, "less than 3 % of a processor"),
		ratio("bytes out per byte in", "bytes", a.bytes, b.bytes, noiseTraffic).unless(a.answer <= smallAnswer, "answers of less than a KiB"),
		memory(a.memory, b.memory),
		{What: "log", Unit: "KiB/s", On: a.log, Off: b.log, Ceiling: 1024 * ceiling, Absolute: true, Pass: a.log <= 1024*ceiling},
	}
	s.cpuOn, s.cpuOff = a.cpu*a.sent, b.cpu*a.sent
}

// ratio is a row that is held against the same storm without a defence.
func ratio(what, unit string, on, off, noise float64) Row {
	r := Row{What: what, Unit: unit, On: on, Off: off, Ceiling: ceiling, Allowed: ceiling * noise}
	if off > 0 {
		r.Ratio = on / off
	}
	r.Pass = on <= off*r.Allowed
	return r
}

// unless says that a row proves nothing in this scene.
func (r Row) unless(small bool, why string) Row {
	if small {
		r.Pass, r.Ratio, r.Note = true, 0, why
	}
	return r
}

func memory(on, off float64) Row {
	r := ratio("memory at most", "MiB", on, off, 1)
	r.Beside = fixedMemory / (1 << 20)
	r.Pass = on <= off*r.Allowed+r.Beside
	return r
}

// CPU is the processor time of the door for every hostile request of the drill together, beside the same storms without
// a defence. Over many scenes the noise of single ones evens out; over few it is allowed for.
func (c *Card) CPU() Row {
	var on, off float64
	for i := range c.Scores {
		on, off = on+c.Scores[i].cpuOn, off+c.Scores[i].cpuOff
	}
	noise := noiseTraffic
	if on+off < float64(manyCPU.Microseconds()) {
		noise = noiseCPU
	}
	return ratio("door CPU, all storms together", "s", on/1e6, off/1e6, noise)
}
