package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the parts of a drill, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "drill-part" {
		if err := Part(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func self(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe, "drill-part"}
}

// A socket of a drill cannot leave the machine, whatever address it is given.
func TestSocketsAreLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:80", "10.0.0.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:80", "0.0.0.0:80", "[::1]:80", "not an address"} {
		if err := loopbackOnly("tcp", addr, nil); !errors.Is(err, errNotLoopback) {
			t.Errorf("a socket may use %s: %v", addr, err)
		}
	}
	if err := loopbackOnly("tcp4", "127.99.1.2:80", nil); err != nil {
		t.Errorf("loopback is refused: %v", err)
	}
	// And through the dialer that every part uses: the refusal comes before a packet is sent.
	_, err := dialer(netip.Addr{}, time.Second).DialContext(context.Background(), "tcp4", "192.0.2.1:9")
	if !errors.Is(err, errNotLoopback) {
		t.Errorf("dialled 192.0.2.1: %v", err)
	}
}

// No two inhabitants of the drill's internet share an address, and nobody good counts as a bot.
func TestAddressesAreDistinct(t *testing.T) {
	seen := map[netip.Addr]string{officeAddr(): "office"}
	put := func(a netip.Addr, who string, bad bool) {
		t.Helper()
		if old, ok := seen[a]; ok {
			t.Fatalf("%s is %s and %s", a, old, who)
		}
		if !a.IsLoopback() || hostile(a) != bad {
			t.Fatalf("%s, %s: loopback %v, hostile %v", a, who, a.IsLoopback(), hostile(a))
		}
		seen[a] = who
	}
	for i := range maxBots {
		put(botAddr(i), fmt.Sprint("bot ", i), true)
	}
	for i := 1; i < 100; i++ {
		put(visitorAddr(2*i), fmt.Sprint("visitor ", i), false)
	}
}

func TestEveryScenePartOfAPolicyIsOne(t *testing.T) {
	scenes, err := Scenes()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range scenes {
		names[s.Name] = true
		if s.NotBuilt == "" && len(s.Storm) == 0 && s.Crowd == 0 && len(s.Faults) == 0 && s.Name != "quiet-day" {
			t.Errorf("scene %s has nothing in it", s.Name)
		}
		for part, text := range s.parts {
			if s.refuses(part) {
				continue // the door has to refuse it; the scene tries that
			}
			d := Door{spec: DoorSpec{Origin: "127.0.0.1:1", Dir: "/nonexistent"}}
			if _, err := d.policy(text); err != nil {
				t.Errorf("scene %s, part %s: %v", s.Name, part, err)
			}
		}
	}
	for _, must := range []string{"flood-one-page", "cache-busting", "slow-reads", "rapid-reset", "flash-crowd", "fault-killed"} {
		if !names[must] {
			t.Errorf("there is no scene %s", must)
		}
	}
}

func (s *Scene) refuses(part string) bool {
	for _, f := range s.Faults {
		if f.Apply == part && f.Refused {
			return true
		}
	}
	return false
}

func TestSceneMistakesAreNamed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"A title\n-- other --\n", "part \"scene\" is missing"},
		{"A title\n-- scene --\nstorm: [{weapon: nuke, bots: 1}]\n", "no weapon \"nuke\""},
		{"A title\n-- scene --\nfaults: [{apply: gone}]\n", "has no such file"},
		{"A title\n-- scene --\ngoal: {p99: soon}\n", "soon"},
		{"A title\n-- scene --\ntarget: 192.0.2.1\n", "target"},
	} {
		_, err := parseScene("x", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want it to say %q", c.text, err, c.want)
		}
	}
}

func TestOptionsAreBounded(t *testing.T) {
	for _, o := range []Options{{Length: time.Second}, {Length: time.Hour}, {Only: []string{"no-such-scene"}}} {
		o.Self = self(t)
		if _, err := Run(context.Background(), o); err == nil {
			t.Errorf("%+v was run", o)
		}
	}
	var s Storm
	s.ctx = context.Background()
	for _, o := range []StormOrder{
		{Spec: StormSpec{Weapon: "flood", Bots: maxBots + 1}},
		{Spec: StormSpec{Weapon: "flood", Bots: 1, Rate: maxRate + 1}},
		{Spec: StormSpec{Weapon: "flood", Bots: 1}, Length: maxLength + 1},
		{Spec: StormSpec{Weapon: "other", Bots: 1}},
	} {
		if s.Start(o, nil) == nil {
			t.Errorf("a storm began: %+v", o)
		}
	}
}

// The accounts that scorecards are made of, on a scene that was made up.
func TestScoreCounts(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	at := func(d time.Duration) int64 { return begin.Add(d).UnixNano() }
	r := &record{StormBegin: begin, StormEnd: begin.Add(2 * time.Second), Samples: []Sample{
		{Kind: "app", At: at(-time.Second), Took: time.Millisecond},
		{Kind: "app", At: at(time.Second), Took: 3 * time.Millisecond},
		{Kind: "app", At: at(time.Second), Failed: "limit.rate"},
		{Kind: "browser", At: at(time.Second), Took: 2 * time.Second, Failed: "late"},
		{Kind: "browser", At: at(3 * time.Second), Took: 5 * time.Millisecond},
	}, OriginEnd: OriginStats{Busy: 8 * time.Second}}
	for i, served := range []int{4, 4, 2, 4, 4} {
		phase := "storm"
		if i == 4 {
			phase = "after"
		}
		r.Windows = append(r.Windows, Window{Phase: phase, Asked: 4, Served: served})
	}
	s := newScore(&Scene{Name: "x", Workers: 8}, r, 10*time.Second)
	if got := s.All.During; got.Asked != 3 || got.Served != 1 || got.P99 != Seconds(3*time.Millisecond) {
		t.Errorf("during: %+v", got)
	}
	if s.All.After.Share() != 100 || s.All.Before.Asked != 1 {
		t.Errorf("after %+v, before %+v", s.All.After, s.All.Before)
	}
	if s.ProtectedIn != Seconds(3*tick) || s.RecoveredIn != 0 {
		t.Errorf("protected in %v, recovered in %v", s.ProtectedIn, s.RecoveredIn)
	}
	if s.OriginLoad != 0.5 {
		t.Errorf("origin load %v", s.OriginLoad)
	}
	if len(s.Hurt) != 2 || s.Hurt[0].Kind != "app" || s.Hurt[0].By != "limit.rate" {
		t.Errorf("hurt: %+v", s.Hurt)
	}
}

func TestAShortSceneProvesLess(t *testing.T) {
	for _, c := range []struct {
		promised float64
		asked    int
		least    int
	}{{99, 100, 97}, {99, 10_000, 9871}, {100, 500, 500}, {98, 0, 0}} {
		if got := (Goal{Served: c.promised}).least(c.asked); got != c.least {
			t.Errorf("of %d, %v %% promised: at least %d, want %d", c.asked, c.promised, got, c.least)
		}
	}
}

// Each row of the amplification table turns red by itself.
func TestAmplificationRows(t *testing.T) {
	plain := func() *record {
		begin := time.Unix(1_000_000, 0)
		return &record{
			StormBegin: begin, StormEnd: begin.Add(time.Second), Storm: StormStats{Sent: 1000, Answered: 1000, BytesOut: 1e6, BytesIn: 2e6},
			OriginEnd: OriginStats{Hostile: 1000, HostileBusy: time.Second}, DoorStorm: time.Second, PeakRSS: 100 << 20, LogBytes: 1 << 10,
		}
	}
	for what, spoil := range map[string]func(*record){
		"":                      func(*record) {},
		"origin requests":       func(r *record) { r.OriginEnd.Hostile *= 2 },
		"origin time":           func(r *record) { r.OriginEnd.HostileBusy *= 2 },
		"door CPU":              func(r *record) { r.DoorStorm *= 2 },
		"bytes out per byte in": func(r *record) { r.Storm.BytesIn *= 2 },
		"memory at most":        func(r *record) { r.PeakRSS *= 3 },
		"log":                   func(r *record) { r.LogBytes = 2 << 20 },
	} {
		on := plain()
		spoil(on)
		var s Score
		s.compare(on, plain())
		for _, row := range s.Amplification {
			if row.Pass == (row.What == what) {
				t.Errorf("with %q spoiled, row %q: pass %v, %+v", what, row.What, row.Pass, row)
			}
		}
	}
}

// Over many storms the noise evens out, so that less of it is allowed than for the few of a drill with --only.
func TestAllStormsTogether(t *testing.T) {
	for _, tt := range []struct {
		name    string
		on, off float64 // s
		pass    bool
	}{
		{"as much", 20, 20, true},
		{"a third more", 26, 20, false},
		{"a third more of little", 0.8, 0.6, true},
		{"twice", 1.2, 0.6, false},
	} {
		card := Card{Scores: []Score{{cpuOn: tt.on * 5e5, cpuOff: tt.off * 5e5}, {cpuOn: tt.on * 5e5, cpuOff: tt.off * 5e5}}}
		if r := card.CPU(); r.Pass != tt.pass || r.On != tt.on || r.Off != tt.off {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

// A door that is killed and started again has used what both processes have.
func TestMeterAddsUpProcesses(t *testing.T) {
	var m meter
	for _, c := range []struct {
		pid   int
		used  time.Duration
		there bool
		want  time.Duration
	}{{7, 2, true, 2}, {7, 5, true, 5}, {7, 0, false, 5}, {8, 0, false, 5}, {8, 1, true, 6}, {8, 4, true, 9}, {9, 2, true, 11}} {
		got := m.read(c.pid, func(int) (usage, error) {
			if !c.there {
				return usage{}, errors.New("no such process")
			}
			return usage{CPU: c.used, RSS: 1}, nil
		})
		if got.CPU != c.want || (got.RSS == 1) != c.there {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}
