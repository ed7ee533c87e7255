package tape

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"stormdoor/flow"
)

func read(t testing.TB, in string) (*Log, []Entry, error) {
	t.Helper()
	l, err := NewLog("test", strings.NewReader(in), int64(len(in)))
	if err != nil {
		return nil, nil, err
	}
	var all []Entry
	for {
		var e Entry
		switch err := l.Next(&e); {
		case err == io.EOF:
			return l, all, nil
		case err != nil:
			return l, all, err
		}
		e.Method, e.Target, e.Referer, e.UserAgent = strings.Clone(e.Method), strings.Clone(e.Target), strings.Clone(e.Referer), strings.Clone(e.UserAgent)
		e.Host = strings.Clone(e.Host)
		all = append(all, e)
	}
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

const line1 = `192.0.2.1 - frank smith [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326 "https://x.example/" "Mozilla/5.0 \"q\" \x41\\"`

func TestFormats(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.1")
	when := at("2000-10-10T20:55:36Z")
	base := Entry{Time: when, Arrived: when, Client: client, Method: "GET", Target: "/a?b=c", Proto: flow.HTTP11, Status: 200, Bytes: 2326}
	with := func(change func(*Entry)) Entry {
		e := base
		change(&e)
		return e
	}
	cases := []struct {
		name, format, line string
		want               Entry
	}{
		{"common", "common", `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326`, base},
		{"combined", "combined", line1, with(func(e *Entry) { e.Referer, e.UserAgent = "https://x.example/", `Mozilla/5.0 "q" A\` })},
		{"combined with a time", "combined", `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326 "-" "-" "10.0.0.1" 17 0.250`,
			with(func(e *Entry) { e.Took = 250 * time.Millisecond })},
		{"vhost_combined", "combined", `Shop.example:443 192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326 "-" "x"`,
			with(func(e *Entry) { e.Host, e.UserAgent = "shop.example", "x" })},
		{"HTTP/0.9 with quotes", "common", `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a"b" 200 -`,
			with(func(e *Entry) { e.Target, e.Proto, e.Bytes = `/a"b`, flow.ProtoUnknown, 0 })},
		{"absolute form", "common", `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET http://X.example:80/a HTTP/1.1" 200 2326`,
			with(func(e *Entry) { e.Target, e.Host = "http://X.example:80/a", "x.example" })},
		{"tsv", "tsv", "971211336\t192.0.2.1\tGET\t/a?b=c\t200\t2326\tcurl", with(func(e *Entry) { e.Proto, e.UserAgent = 0, "curl" })},
		{"caddy", "json", `{"level":"info","ts":971211336.25,"msg":"handled request","request":{"remote_ip":"10.0.0.1","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"GET","host":"X.example:8080","uri":"/a?b=c","headers":{"Accept":["*/*"],"User-Agent":["cu\u0072l","z"]},"tls":{"version":772}},"duration":0.5,"size":2326,"status":200,"resp_headers":{"Server":["Caddy"]}}`,
			with(func(e *Entry) {
				e.Time = e.Time.Add(250 * time.Millisecond)
				e.Arrived, e.Proto, e.Host, e.UserAgent, e.Took = e.Time, flow.HTTP2, "x.example", "curl", 500*time.Millisecond
			})},
		{"nginx", "json", `{"time_iso8601": "2000-10-10T13:55:36-07:00", "remote_addr": "192.0.2.1", "request": "GET /a?b=c HTTP/1.1", "status": "200", "body_bytes_sent": "2326", "http_user_agent": "\ud83d\ude00", "request_time": "0.010", "x": [1, {"status": 5}, null]}`,
			with(func(e *Entry) { e.UserAgent, e.Took = "😀", 10*time.Millisecond })},
		{"stormdoor", "json", `{"time":"2000-10-10T20:55:36.000Z","level":"INFO","msg":"request","client":"192.0.2.1","proto":"HTTP/1.1","method":"GET","host":"x.example","path":"/a","query":"b=c","status":200,"bytes_in":1,"bytes_out":2326,"took":1.5}`,
			with(func(e *Entry) { e.Host, e.Took = "x.example", 1500*time.Millisecond })},
	}
	for _, c := range cases {
		l, all, err := read(t, "# comment\n\n"+c.line+"\r\n")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if l.Format() != c.format || len(all) != 1 || all[0] != c.want {
			t.Errorf("%s: %s\n%+v\nwant %s\n%+v", c.name, l.Format(), all, c.format, c.want)
		}
	}
}

func TestClients(t *testing.T) {
	cases := map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "fe80::1%eth0": "198.19.",
		"192.0.2.1:4711": "192.0.2.1", "[2001:db8::1]:4711": "2001:db8::1", "7": "198.18.0.7", "131071": "198.19.255.255", "1.2.3": "198.1",
	}
	for in, want := range cases {
		if got := client([]byte(in)).String(); got != want && !(strings.HasSuffix(want, ".") || want == "198.1") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	a, b := client([]byte("Host.example")), client([]byte("host.example"))
	if a != b || !netip.MustParsePrefix("198.18.0.0/15").Contains(a) || a == client([]byte("host2.example")) {
		t.Errorf("%v, %v", a, b)
	}
	name := []byte("a.host.example")
	if n := testing.AllocsPerRun(100, func() { client(name) }); n > 0 {
		t.Errorf("%v allocations for a name", n)
	}
}

func TestMalformedLinesAreCountedNotFatal(t *testing.T) {
	long := strings.Repeat("x", MaxLine+1)
	in := strings.Join([]string{line1, "nonsense", line1, long, strings.Repeat(long, 9), line1,
		`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "-" 408 0 "-" "-"`, line1, `192.0.2.1 - - [32/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1 "-" "-"`, line1}, "\n")
	l, all, err := read(t, in)
	if err != nil {
		t.Fatal(err)
	}
	n, first := l.Malformed()
	if len(all) != 5 || n != 5 || len(first) != 5 {
		t.Fatalf("%d entries, %d malformed: %+v", len(all), n, first)
	}
	for i, want := range []int64{2, 4, 5, 7, 9} {
		if first[i].Line != want || first[i].Why == "" || len(first[i].Text) > maxShown {
			t.Errorf("%+v, want line %d", first[i], want)
		}
	}
	if got, total := l.Progress(); got != int64(len(in)) || total != got {
		t.Errorf("progress %d of %d", got, total)
	}
}

func TestErrors(t *testing.T) {
	good := strings.Repeat(line1+"\n", 40)
	cases := map[string]string{
		"":                                "access log test is empty",
		"# only\n":                        "has no line to recognise its format by",
		"ab\x01c\ndef\n":                  "in none of the known formats (combined, common, JSON lines, tab-separated); its first line: ab.c",
		good + strings.Repeat("x\n", 41):  "41 of the first 81 lines are not in the format combined, which its first lines have; line 41: there is no client: x",
		good + strings.Repeat("x\n", 1e6): "1000 of the first 1040 lines",
		"\x1f\x8bnot gzip":                "gzip: invalid header",
	}
	for in, want := range cases {
		if _, _, err := read(t, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", in, err, want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func zipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log.gz")
	// Rotated logs are often several members in one file.
	whole := append(zipped(strings.Repeat(line1+"\n", 5000)), zipped(strings.Repeat(line1+"\n", 5000))...)
	for cut, want := range map[int]error{0: io.EOF, 20: io.ErrUnexpectedEOF} {
		if err := os.WriteFile(path, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var e Entry
		n := 0
		for err = l.Next(&e); err == nil; err = l.Next(&e) {
			n++
		}
		if !errors.Is(err, want) || cut == 0 && n != 10000 || n < 5000 {
			t.Errorf("cut %d: %d entries, %v", cut, n, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOrder(t *testing.T) {
	var in strings.Builder
	for _, s := range []int{5000, 5010, 5007, 5010, 5011, 100, 90, 120} {
		fmt.Fprintf(&in, "%d\t1\tGET\t/\t200\t0\t-\n", s)
	}
	l, all, err := read(t, in.String())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{5000, 5010, 5010, 5010, 5011, 100, 100, 120} {
		if all[i].Arrived.Unix() != want {
			t.Errorf("entry %d arrived at %d, want %d", i, all[i].Arrived.Unix(), want)
		}
	}
	if d := l.Disorder(); d != (Disorder{Lines: 2, Most: 10 * time.Second, Steps: 1}) {
		t.Errorf("%+v", d)
	}
}

func TestMinuteCache(t *testing.T) {
	var p parser
	for _, c := range [][2]string{
		{"10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"}, {"10/Oct/2000:13:55:59 -0700", "2000-10-10T20:55:59Z"},
		{"10/Oct/2000:13:55:59 +0000", "2000-10-10T13:55:59Z"}, {"10/Oct/2000:13:56:00 +0000", "2000-10-10T13:56:00Z"},
		{"2000-10-10T13:56:00Z", "2000-10-10T13:56:00Z"}, {"2000-10-10T13:56:01.25Z", "2000-10-10T13:56:01.25Z"},
		{"2000-10-10T13:56:01.25+02:00", "2000-10-10T11:56:01.25Z"}, {"971186160.5", "2000-10-10T13:56:00.5Z"},
	} {
		if got, ok := p.anyTime([]byte(c[0])); !ok || !got.Equal(at(c[1])) {
			t.Errorf("%s: %v, %v", c[0], got, ok)
		}
	}
}

func TestFill(t *testing.T) {
	f := flow.Facts{Path: flow.Path{Clean: "/kept"}}
	f.Header.Add("Old", "x")
	e := Entry{Arrived: at("2000-10-10T20:55:36Z"), Client: netip.MustParseAddr("192.0.2.1"), Method: "POST", Proto: flow.HTTP2, Host: "x", UserAgent: "u", Referer: "r"}
	e.Fill(&f)
	if f.Header.Len() != 2 || f.Header.Get("user-agent") != "u" || f.Header.Get("referer") != "r" || f.Length != -1 || f.Client != e.Client ||
		f.Peer != e.Client || !f.Arrived.Equal(e.Arrived) || f.Host != "x" || f.Proto != flow.HTTP2 || f.Method != "POST" || f.Path.Clean != "/kept" {
		t.Errorf("%+v", f)
	}
	if n := testing.AllocsPerRun(100, func() { e.Fill(&f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	e = Entry{Method: "GET"}
	if e.Fill(&f); f.Header.Len() != 0 || f.Length != 0 {
		t.Errorf("%+v", f)
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte(line1 + "\n" + line1))
	f.Add([]byte("1\t2\tGET\t/\t200\t-\t-\n1.5\tx\tGET\thttp://a:1\t200\t-\t-\n"))
	f.Add([]byte(`{"ts":1.5,"client":"::1","request":{"method":"GET","uri":"\u00e4\\","headers":{"User-Agent":["a"]}},"x":[[{}]]}`))
	f.Add([]byte(`{"time":"2000-10-10T13:56:00.1Z","client":"h","request":"GET / HTTP/2.0"}`))
	f.Add(zipped(line1 + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		l, err := NewLog("fuzz", bytes.NewReader(in), 0)
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("%q", err)
			}
			return
		}
		var e Entry
		var last time.Time
		for steps := int64(0); l.Next(&e) == nil; {
			if !e.Client.IsValid() || e.Method == "" || e.Target == "" || e.Status < 0 || e.Bytes < 0 || e.Took < 0 || e.Time.IsZero() {
				t.Fatalf("%+v", e)
			}
			if s := l.Disorder().Steps; s == steps && e.Arrived.Before(last) {
				t.Fatalf("arrived at %v after %v", e.Arrived, last)
			} else {
				steps, last = s, e.Arrived
			}
		}
	})
}

// realistic is a log as a shop has it: some clients, long user agents, a second every few lines.
func realistic(lines int) string {
	var b strings.Builder
	start := at("2026-03-01T12:00:00Z")
	for i := range lines {
		fmt.Fprintf(&b, "198.51.%d.%d - - [%s] \"GET /catalogue/item-%d?page=%d HTTP/1.1\" 200 %d \"https://shop.example/catalogue/%d\" \"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/14%d.0\"\n",
			i%251, i%13, start.Add(time.Duration(i)*time.Second/20).Format("02/Jan/2006:15:04:05 -0700"), i*7919%10007, i%9, 1000+i*31%90000, i%77, i%7)
	}
	return b.String()
}

func benchmark(b *testing.B, in []byte, lines int) {
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		l, err := NewLog("bench", bytes.NewReader(in), 0)
		if err != nil {
			b.Fatal(err)
		}
		var e Entry
		n := 0
		for l.Next(&e) == nil {
			n++
		}
		if n != lines {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.N)*float64(lines)/b.Elapsed().Seconds(), "lines/s")
}

const benchLines = 50_000

func BenchmarkCombined(b *testing.B) { benchmark(b, []byte(realistic(benchLines)), benchLines) }

func BenchmarkCombinedGzip(b *testing.B) { benchmark(b, zipped(realistic(benchLines)), benchLines) }

func BenchmarkJSON(b *testing.B) {
	const line = `{"time":"2026-03-01T12:00:00.000Z","level":"INFO","msg":"request","id":"0123456789abcdef","client":"192.0.2.1","proto":"HTTP/1.1","method":"GET","host":"shop.example","path":"/catalogue/item","query":"page=2","status":200,"bytes_in":0,"bytes_out":2326,"took":0.0123,"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0","referer":"https://shop.example/"}` + "\n"
	benchmark(b, []byte(strings.Repeat(line, benchLines)), benchLines)
}

// Lines cost no allocation; opening a log costs a few.
func TestLinesDoNotAllocate(t *testing.T) {
	in := []byte(realistic(20_000))
	n := testing.AllocsPerRun(1, func() {
		l, err := NewLog("test", bytes.NewReader(in), 0)
		if err != nil {
			t.Fatal(err)
		}
		var e Entry
		for l.Next(&e) == nil {
		}
	})
	if n > 200 {
		t.Errorf("%v allocations for 20,000 lines of 17 minutes", n)
	}
}
