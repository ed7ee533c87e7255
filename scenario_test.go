package stormdoor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/loop/scene"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

var update = flag.Bool("update", false, "write the verdicts of the scenarios anew; read them before you commit them")

// TestScenarios plays each tape of testdata/*.txtar to the policy beside it, through the engine of the path, and compares
// what is decided with the verdicts that are written there. See CONTRIBUTING.md, "A scenario".
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*" + scene.Ending)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scene.Parse(filepath.Base(file), b)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(s.Name, func(t *testing.T) {
			got := strings.Join(play(t, s), "\n") + "\n"
			if *update {
				text, _, _ := strings.Cut(string(b), "-- verdicts --\n")
				if err := os.WriteFile(file, []byte(text+"-- verdicts --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want, _ := s.Part("verdicts"); got != want {
				t.Errorf("the verdicts are\n%swant\n%s", got, want)
			}
		})
	}
}

// play returns a verdict for each line of the scene's tape.
func play(t *testing.T, s scene.Scene) (verdicts []string) {
	dir := t.TempDir()
	for _, p := range s.Parts {
		if err := os.WriteFile(filepath.Join(dir, p.Name), []byte(p.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := s.Part("policy.yaml")
	p, err := policy.Parse("policy.yaml", []byte(strings.ReplaceAll(text, "$DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	p.LimitTable.Memory = 1 << 20 // as exact for so few as the default one
	beginning := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d, err := newDoor(p, Options{Now: func() time.Time { return beginning }}, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	tape, _ := s.Part("tape")
	for i, line := range strings.Split(strings.TrimSpace(tape), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		r, err := readTaped(line)
		if err != nil {
			t.Fatalf("line %d of the tape, %q: %v", i+1, line, err)
		}
		verdicts = append(verdicts, d.hear(t, r, beginning))
	}
	return verdicts
}

// hear judges the request of a line as often as it comes, and says in words what was decided.
func (d *Door) hear(t *testing.T, r taped, beginning time.Time) string {
	var said []string
	var times []int
	for n := range r.times {
		c, req, err := r.request(n)
		if err != nil {
			t.Fatal(err)
		}
		v := d.facts(c, req, beginning.Add(r.at+time.Duration(n)*r.every))
		o := &v.outcome
		o.Facts.Hot = r.hot
		passed := v.decide(context.Background())
		if passed {
			o.Status, o.BytesIn, o.BytesOut, o.OriginTime, o.Took = 200, r.sent, r.got, r.took, r.took
		}
		say := describe(o, passed)
		v.edition.chain.Settle(o, v.asked)
		if last := len(said) - 1; last >= 0 && said[last] == say {
			times[last]++
			continue
		}
		said, times = append(said, say), append(times, 1)
	}
	for i, n := range times {
		if r.times > 1 {
			said[i] = fmt.Sprintf("%d x %s", n, said[i])
		}
	}
	return strings.Join(said, ", then ")
}

// describe says what was decided: pass, or an action, the reason and whose it is.
func describe(o *flow.Outcome, passed bool) string {
	v := o.Verdict
	text := "pass"
	switch {
	case v.Action > flow.Continue:
		text = strings.TrimSpace(fmt.Sprint(v.Action, " ", v.Reason, " ", v.Rule))
		if v.Status != 0 {
			text += fmt.Sprint(" with ", v.Status)
		}
	case v.Delay > 0:
		text = fmt.Sprint("wait ", v.Delay.Round(time.Millisecond), " ", v.Reason, " ", v.Rule)
	case !passed:
		text = "no verdict, and stopped"
	}
	if o.Dry.Action > flow.Continue {
		text += fmt.Sprint(" (dry run: ", o.Dry.Action, " ", o.Dry.Reason, " ", o.Dry.Rule, ")")
	}
	return text
}

// taped is one line of a written tape.
type taped struct {
	at           time.Duration // since the beginning
	peer, method string
	url          string // a # in it, or in peer or a field, is the number of the repetition, from 1
	times        int
	every, took  time.Duration
	sent, got    int64
	hot          bool
	ja4          string
	fields       []string
}

var tapeWord = regexp.MustCompile(`"[^"]*"|\S+`)

// readTaped reads a line: TIME PEER METHOD URL, then any of xN, every=1s, took=1s, sent=BYTES, got=BYTES, ja4=TEXT, hot and
// "Field: value".
func readTaped(line string) (r taped, err error) {
	words := tapeWord.FindAllString(line, -1)
	if len(words) < 4 {
		return r, errors.New("want TIME PEER METHOD URL")
	}
	r = taped{peer: words[1], method: words[2], url: words[3], times: 1}
	r.at, err = time.ParseDuration(words[0])
	errs := []error{err}
	for _, w := range words[4:] {
		name, value, _ := strings.Cut(w, "=")
		switch {
		case w[0] == '"':
			r.fields = append(r.fields, strings.Trim(w, `"`))
		case w == "hot":
			r.hot = true
		case name == "every":
			r.every, err = time.ParseDuration(value)
		case name == "took":
			r.took, err = time.ParseDuration(value)
		case name == "sent":
			r.sent, err = strconv.ParseInt(value, 10, 64)
		case name == "got":
			r.got, err = strconv.ParseInt(value, 10, 64)
		case name == "ja4":
			r.ja4 = value
		case w[0] == 'x':
			r.times, err = strconv.Atoi(w[1:])
		default:
			err = fmt.Errorf("what is %q?", w)
		}
		errs = append(errs, err)
	}
	return r, errors.Join(errs...)
}

// request is the n-th repetition of the line.
func (r taped) request(n int) (*wire.Conn, *wire.Request, error) {
	number := strings.NewReplacer("#", strconv.Itoa(n+1))
	peer, err := netip.ParseAddr(number.Replace(r.peer))
	if err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(number.Replace(r.url))
	if err != nil || u.Host == "" {
		return nil, nil, fmt.Errorf("%q is no absolute URL: %w", r.url, err)
	}
	c := &wire.Conn{Peer: netip.AddrPortFrom(peer, 1), TLS: u.Scheme == "https", JA4: r.ja4}
	req := &wire.Request{Proto: flow.HTTP11, Method: r.method, Target: u.RequestURI(), Scheme: u.Scheme, Authority: u.Host, Length: r.sent}
	req.Header.Add("Host", u.Host)
	for _, f := range r.fields {
		name, value, ok := strings.Cut(number.Replace(f), ": ")
		if !ok {
			return nil, nil, fmt.Errorf("%q is no field", f)
		}
		req.Header.Add(name, value)
	}
	return c, req, nil
}
