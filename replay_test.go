package stormdoor

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stormdoor/internal/loop/tape"
	"stormdoor/policy"
)

const oneSite = "sites: [{name: shop, hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\nlimit_table: {memory: 1MiB}\n"

func replayLog(t testing.TB, text, log string, o ReplayOptions) (Report, error) {
	t.Helper()
	d, err := New(parse(t, text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := tape.NewLog("test", strings.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	return d.Replay(context.Background(), l, o)
}

func mustReplay(t testing.TB, text, log string, o ReplayOptions) Report {
	t.Helper()
	r, err := replayLog(t, text, log, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// written is a log that is written line by line, in the tab-separated format.
type written struct{ strings.Builder }

// ask writes requests of a client, evenly spread over a time that begins at a second.
func (w *written) ask(at, n int, over time.Duration, client string, status int, agent string) {
	for i := range n {
		s := float64(at) + over.Seconds()*float64(i)/float64(n)
		fmt.Fprintf(w, "%.3f\t%s\tGET\t/item/%d\t%d\t100\t%s\n", s, client, i%50, status, agent)
	}
}

func TestReplayReadsEachFormat(t *testing.T) {
	for _, file := range []string{"combined.log", "common.log", "caddy.json", "nginx.json", "stormdoor.json", "plain.tsv", "combined.log.gz"} {
		l, err := tape.Open(filepath.Join("testdata", "replay", file))
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(parse(t, oneSite+"rules: [{name: no-wordpress, when: \"path.startsWith('/wp-')\", then: refuse}]"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Replay(context.Background(), l, ReplayOptions{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		c := r.Cases[0]
		if r.Requests != 4 || r.Clients != 2 || r.Good != 1 || c.Refused != 2 || c.Passed != 2 || c.TouchedGood != 0 || len(c.Causes) != 1 ||
			c.Causes[0].Rule != "no-wordpress" || c.Causes[0].InWorst != 2 || len(c.Clients) != 1 || c.Clients[0].Client != "203.0.113.9" || c.Clients[0].Good ||
			len(r.Sites) != 1 || r.Sites[0].Site != "shop" || r.To.Sub(r.From) != 90*time.Second {
			t.Errorf("%s: %+v", file, r)
		}
		l.Close()
		d.Close()
	}
}

// flood is a log with 40 good visitors, an office behind one address, and a flood from another.
func flood() string {
	var w written
	for i := range 40 {
		w.ask(i, 20, 10*time.Second, fmt.Sprintf("192.0.2.%d", i), 200, "Firefox")
	}
	w.ask(100, 12000, 10*time.Minute, "198.51.100.1", 200, "Firefox") // 20 a second: an office
	w.ask(800, 20000, 100*time.Second, "203.0.113.5", 200, "flood/1") // 200 a second
	return w.String()
}

func TestReplayOfAFloodUnderTheDefaultPolicy(t *testing.T) {
	r := mustReplay(t, oneSite, flood(), ReplayOptions{})
	if r.Requests != 32800 || r.Clients != 42 || r.Good != 41 || len(r.Cases) != 2 || r.Cases[0].Hot || !r.Cases[1].Hot {
		t.Fatalf("%+v", r)
	}
	if c := r.Cases[0]; c.Refused+c.Delayed != 0 || c.Passed != r.Requests || c.Touched != 0 {
		t.Errorf("while the origins are well something was touched: %+v", c)
	}
	c := r.Cases[1]
	// 3000 at once and 50 a second for 100 seconds may pass.
	if passed := 20000 - c.Refused; passed < 7990 || passed > 8010 {
		t.Errorf("%d of the flood passed, want 8000", passed)
	}
	if c.Touched != 1 || c.TouchedGood != 0 || r.TouchesGood() || c.Clients[0].Client != "203.0.113.5" || c.Clients[0].UserAgent != "flood/1" ||
		c.Clients[0].Good || !strings.HasSuffix(c.Clients[0].Why, ",000 requests in a minute") || c.Clients[0].Cause != "default" {
		t.Errorf("%+v", c.Clients)
	}
	k := c.Causes[0]
	if len(c.Causes) != 1 || k.Action != "refuse" || k.Stage != "limits" || k.Reason != "limit.rate" || k.Requests != c.Refused || k.First.Unix() < 815 || k.First.Unix() > 825 || k.Last.Unix() != 899 {
		t.Errorf("%+v", c.Causes)
	}
	if r.Conclusion != "No good visitor would have been touched: 0 of 41 good visitors." {
		t.Error(r.Conclusion)
	}
	if hot := mustReplay(t, oneSite, flood(), ReplayOptions{Hot: true}); len(hot.Cases) != 1 || !hot.Cases[0].Hot || hot.Cases[0].Refused != c.Refused {
		t.Errorf("hot alone: %+v", hot.Cases)
	}
}

func TestReplayTellsOfGoodVisitorsWhoAreTouched(t *testing.T) {
	text := oneSite + "limits: [{name: tight, rate: 10/m, burst: 15, dry_run: %s, over: %s}]"
	r := mustReplay(t, fmt.Sprintf(text, "false", "refuse"), flood(), ReplayOptions{})
	c := r.Cases[0]
	if len(r.Cases) != 1 || c.TouchedGood != 41 || c.Touched != 42 || len(c.Clients) != 10 || len(c.GoodClients) != 10 || c.GoodClients[0].Client != "198.51.100.1" || !r.TouchesGood() {
		t.Errorf("%+v", c)
	}
	if r.Conclusion != "41 of 41 good visitors would have been touched." {
		t.Error(r.Conclusion)
	}
	dry := mustReplay(t, fmt.Sprintf(text, "true", "refuse"), flood(), ReplayOptions{}).Cases[0]
	if dry.Touched != 0 || dry.Passed != r.Requests || len(dry.Causes) != 0 || len(dry.Dry) != 1 || dry.Dry[0].Rule != "tight" || dry.Dry[0].Requests == 0 {
		t.Errorf("dry run: %+v", dry)
	}
	slow := mustReplay(t, fmt.Sprintf(text, "false", "throttle, max_wait: 1m"), flood(), ReplayOptions{})
	if c := slow.Cases[0]; c.Delayed == 0 || c.Longest <= 1 || c.Longest > 60 || c.Clients[0].Delayed == 0 || !strings.Contains(slow.String(), "held back") {
		t.Errorf("throttle: %+v", c)
	}
	// Who sends more than that in a minute is no good visitor.
	if r := mustReplay(t, fmt.Sprintf(text, "false", "refuse"), flood(), ReplayOptions{GoodPeak: 19}); r.Good > 20 {
		t.Errorf("%d good visitors", r.Good)
	}
}

func TestGoodVisitors(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses []int
		path     string
		good     bool
	}{
		{"answered", []int{200, 304, 404}, "/", true},
		{"never answered well", []int{404}, "/", false},
		{"half failed", []int{200, 500}, "/", false},
		{"an icon that is not there is no failure", []int{200, 404, 404}, "/favicon.ico", true},
		{"an icon alone is no visit", []int{404}, "/favicon.ico", false},
	} {
		var log strings.Builder
		for i, s := range c.statuses {
			fmt.Fprintf(&log, "%d\t1\tGET\t%s\t%d\t0\t-\n", i, c.path, s)
		}
		if r := mustReplay(t, oneSite, log.String(), ReplayOptions{}); (r.Good == 1) != c.good {
			t.Errorf("%s: %d good visitors", c.name, r.Good)
		}
	}
}

func TestReplayChargesOnlyWhatPasses(t *testing.T) {
	// 1000 bytes at once, and as good as nothing afterwards; each answer has 600.
	text := oneSite + "limits: [{name: volume, charge: bytes, rate: 1B/h, burst: 1000B}]"
	var log strings.Builder
	for i := range 10 {
		fmt.Fprintf(&log, "%d\t1\tGET\t/\t200\t600\t-\n", i)
	}
	r := mustReplay(t, text, log.String(), ReplayOptions{})
	if c := r.Cases[0]; c.Passed != 2 || c.Refused != 8 || c.Causes[0].Reason != "limit.bytes" {
		t.Errorf("%+v", c)
	}
}

func TestReplayFindsTheSite(t *testing.T) {
	two := "sites: [{name: a, hosts: [a.example], origins: ['http://127.0.0.1:1']}, {name: b, hosts: [b.example], origins: ['http://127.0.0.1:1']}]\n"
	const bare = "1\t1\tGET\t/\t200\t0\t-\n"
	if _, err := replayLog(t, two, bare, ReplayOptions{}); err == nil || !strings.Contains(err.Error(), "several sites (a, b)") || !strings.Contains(err.Error(), "--site") {
		t.Error(err)
	}
	if _, err := replayLog(t, two, bare, ReplayOptions{Site: "c"}); err == nil || !strings.Contains(err.Error(), `no site "c": its sites are a, b`) {
		t.Error(err)
	}
	if r := mustReplay(t, two, bare, ReplayOptions{Site: "b"}); len(r.Sites) != 1 || r.Sites[0].Site != "b" {
		t.Errorf("%+v", r.Sites)
	}
	hosts := "1\t1\tGET\thttp://a.example/x\t200\t0\t-\n1\t1\tGET\thttp://c.example/\t200\t0\t-\n" + bare
	r := mustReplay(t, two, hosts, ReplayOptions{})
	if len(r.Sites) != 2 || r.Sites[0].Site != "a" || r.Sites[1].Site != "" || r.Sites[1].Requests != 2 || r.Cases[0].Causes[0].Reason != "site.unknown" {
		t.Errorf("%+v", r)
	}
}

// A log without hosts tells nothing against its visitors, whatever the site's hosts look like: the firewall, for one, refuses
// requests without a host, which the door never forwards.
func TestReplayHoldsNothingAgainstALogWithoutHosts(t *testing.T) {
	for hosts, want := range map[string]string{"'*'": "host.invalid", "'*.shop.example'": "shop.example", "'*.a.example', b.example": "b.example"} {
		var log written
		log.ask(0, 3, time.Second, "192.0.2.1", 200, "Mozilla/5.0")
		c := mustReplay(t, "sites: [{hosts: ["+hosts+"], origins: ['http://127.0.0.1:1']}]\nrules: [{name: other, when: \"host != '"+want+"'\", then: refuse}]\nlimit_table: {memory: 1MiB}\n", log.String(), ReplayOptions{}).Cases[0]
		if c.Passed != 3 {
			t.Errorf("%s: %d passed of 3, with a host that is not %s", hosts, c.Passed, want)
		}
	}
}

func TestReplayRepeatsItselfAndLeavesTheDoorAlone(t *testing.T) {
	d, err := New(parse(t, oneSite+"limits: [{name: tight, rate: 1/m, burst: 5}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var w written
	w.ask(0, 20, time.Second, "192.0.2.1", 200, "Firefox")
	w.WriteString(flood())
	var texts []string
	for range 3 {
		l, err := tape.NewLog("test", strings.NewReader(w.String()), 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Replay(context.Background(), l, ReplayOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, r.String()+string(b))
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("three replays differ:\n%s\n%s\n%s", texts[0], texts[1], texts[2])
	}
}

func TestReplayRemembersNoMoreClientsThanAllowed(t *testing.T) {
	r := mustReplay(t, oneSite, flood(), ReplayOptions{MaxClients: 10})
	if r.Clients != 10 || r.Forgotten != 32800-200 || r.Requests != 32800 || !strings.Contains(r.String(), "only the first 10 clients") {
		t.Errorf("%+v", r)
	}
}

func TestReplayGrowsItsTable(t *testing.T) {
	var w written
	for range 2 {
		for i := range 10000 {
			w.ask(0, 1, 0, fmt.Sprintf("10.0.%d.%d", i/250, i%250), 200, "-")
		}
	}
	if r := mustReplay(t, oneSite, w.String(), ReplayOptions{}); r.Clients != 10000 || r.Good != 10000 {
		t.Errorf("%d clients, %d good", r.Clients, r.Good)
	}
}

func TestReplayTellsWhatItReadOfABrokenLog(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, flood())
	z.Close()
	cut := b.Bytes()[:b.Len()/2]
	d, err := New(parse(t, oneSite), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := tape.NewLog("access.log.gz", bytes.NewReader(cut), 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Replay(context.Background(), l, ReplayOptions{})
	if !errors.Is(err, io.ErrUnexpectedEOF) || r.Requests == 0 || !strings.Contains(r.String(), "a part of the log only: access log access.log.gz, behind line") {
		t.Errorf("%v\n%s", err, r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err = tape.NewLog("access.log", strings.NewReader(flood()), 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err = d.Replay(ctx, l, ReplayOptions{Progress: func(ReplayProgress) { cancel() }})
	if !errors.Is(err, context.Canceled) || r.Requests != 2*pause || r.Incomplete == "" {
		t.Errorf("%v after %d requests", err, r.Requests)
	}
}

func TestReplayReportForPeople(t *testing.T) {
	log := "nonsense\n" + flood()
	text := mustReplay(t, oneSite+"limits: [{name: tight, rate: 1/s, burst: 100}]", log, ReplayOptions{}).String()
	for _, want := range []string{
		"32,800 requests of 42 clients", "malformed lines, left out: 1\n  line 1: ", ": nonsense", "site shop  32,800  100.00 %", "good visitors: 41 (",
		"At all times, for nothing in the policy acts only", "refuse limits", "tight (limit.rate)", "worst minute 1970-01-01 00:1", "clients touched: 2", `"flood/1"`,
		"not good: ", "good visitors touched: 1 of 41", "\n1 of 41 good visitors would have been touched.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestActsWhileHot(t *testing.T) {
	for text, want := range map[string]bool{
		"":           true, // the default limit does
		"limits: []": false,
		"limits: []\nrules: [{name: a, when: \"path == '/photos'\", then: refuse}]":        false,
		"limits: []\nrules: [{name: a, when: \"hot && path == '/search'\", then: refuse}]": true,
		"limits: [{name: a, rate: 1/s}, {name: b, rate: 1/s, while: hot, dry_run: true}]":  true,
	} {
		if got := actsWhileHot(parse(t, oneSite+text).WithDefaults()); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestReplayAllocatesNothingForALine(t *testing.T) {
	one, two := flood(), flood()+flood()
	count := func(log string) float64 {
		return testing.AllocsPerRun(1, func() { mustReplay(t, oneSite, log, ReplayOptions{}) })
	}
	// One a line would be 32,800. Some come and go with the collector and, under the race detector, with pools that forget.
	if a, b := count(one), count(two); b-a > 3280 {
		t.Errorf("32,800 lines more cost %.0f allocations", b-a)
	}
}

// shopLog is a log as a shop has it: some thousand clients, long user agents, 20 requests a second.
func shopLog(lines int) string {
	var b strings.Builder
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range lines {
		fmt.Fprintf(&b, "198.51.%d.%d - - [%s] \"GET /catalogue/item-%d?page=%d HTTP/1.1\" 200 %d \"https://shop.example/catalogue/%d\" \"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/14%d.0\"\n",
			i*7%251, i%13, start.Add(time.Duration(i)*time.Second/20).Format("02/Jan/2006:15:04:05 -0700"), i*7919%10007, i%9, 1000+i*31%90000, i%77, i%7)
	}
	return b.String()
}

// BenchmarkReplay measures a line of the whole replay, in quiet times and in trouble, and of reading alone.
func BenchmarkReplay(b *testing.B) {
	const lines = 200_000
	log := shopLog(lines)
	run := func(b *testing.B, f func(l *tape.Log)) {
		b.SetBytes(int64(len(log)))
		b.ReportAllocs()
		for b.Loop() {
			l, err := tape.NewLog("bench", strings.NewReader(log), int64(len(log)))
			if err != nil {
				b.Fatal(err)
			}
			f(l)
		}
		b.ReportMetric(lines*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	}
	b.Run("whole", func(b *testing.B) {
		p, err := policy.Default("http://127.0.0.1:1")
		if err != nil {
			b.Fatal(err)
		}
		d, err := New(p, Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		run(b, func(l *tape.Log) {
			if r, err := d.Replay(context.Background(), l, ReplayOptions{}); err != nil || r.Requests != lines {
				b.Fatal(err, r.Requests)
			}
		})
	})
	b.Run("reading", func(b *testing.B) {
		var e tape.Entry
		run(b, func(l *tape.Log) {
			for l.Next(&e) == nil {
			}
		})
	})
}
