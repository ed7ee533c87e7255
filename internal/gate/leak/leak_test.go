package leak

import (
	"bytes"
	"compress/gzip"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

var pem = "-----BEGIN " + "RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEpAIBAAKCAQEA7", 4) + "\n"

func githubToken() string {
	body := strings.Repeat("a1B2c3", 5)
	return "ghp_" + body + base62(crc32.ChecksumIEEE([]byte(body)))
}

// leaks are answers of each kind, and neighbours that are none.
var leaks = []struct {
	check string // "" for none
	answer
}{
	{"private-key", answer{200, "text/plain", "/id_rsa", pem}},
	{"", answer{200, "text/html", "/help", "<p>A key begins with -----BEGIN RSA PRIVATE KEY----- and ends with …</p>"}},
	{"", answer{200, "text/plain", "/cert.pem", "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("MIIEpAIBAAKCAQEA7", 4)}},
	{"credential", answer{200, "application/json", "/config.json", `{"token":"` + githubToken() + `"}`}},
	{"", answer{200, "application/json", "/config.json", `{"token":"ghp_` + strings.Repeat("a", 36) + `"}`}},
	{"credential", answer{200, "text/plain", "/x", "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"}},
	{"", answer{200, "text/html", "/doc", "Your key id looks like AKIAIOSFODNN7EXAMPLE."}},
	{"dotenv", answer{200, "application/octet-stream", "/.env", "APP_ENV=production\n# mail\nAPP_KEY=base64:abcd\nDB_PASSWORD=s3cret\n"}},
	{"", answer{200, "text/plain", "/build", "VERSION=1.2\nARCH=amd64\nDATE=2026\n"}},
	{"", answer{200, "text/plain", "/readme", "Set DB_PASSWORD=secret in .env:\nAPP_KEY=x\nDB_PASSWORD=s3cret\n"}},
	{"git", answer{200, "text/plain", "/.git/config", "[core]\n\trepositoryformatversion = 0\n"}},
	{"git", answer{200, "", "/.git/HEAD", "ref: refs/heads/main\n"}},
	{"", answer{200, "text/plain", "/blog/HEAD", "ref: refs/heads/main\n"}},
	{"dump", answer{200, "application/sql", "/a.sql", "-- MySQL dump 10.13  Distrib 8.0\n--\n"}},
	{"source", answer{200, "text/plain", "/index.php", "<?php\n$db = new PDO('x');"}},
	{"", answer{200, "text/plain", "/examples/hello.txt", "<?php echo 1;"}},
	{"phpinfo", answer{200, "text/html", "/info.php", "<html><head><title>PHP 8.3.1 - phpinfo()</title></head>"}},
	{"", answer{200, "text/html", "/manual", "<title>phpinfo - Manual</title> phpinfo() shows the configuration"}},
	{"debug-page", answer{404, "text/html", "/x", "<p>You're seeing this error because you have <code>DEBUG = True</code> in your settings</p>"}},
	{"stack-trace", answer{500, "text/html", "/x", "<pre>java.lang.NullPointerException\n\tat org.example.Door.open(Door.java:17)\n</pre>"}},
	{"stack-trace", answer{500, "text/plain", "/x", "Traceback (most recent call last):\n  File \"/srv/app.py\", line 7, in <module>\n"}},
	{"stack-trace", answer{500, "text/html", "/x", "<b>Fatal error</b>:  Uncaught Error in <b>/var/www/html/a.php</b> on line <b>7</b>"}},
	{"stack-trace", answer{500, "application/json", "/x", `{"stack":"Error: x\n    at open (/srv/app/door.js:7:12)"}`}},
	{"stack-trace", answer{502, "text/plain", "/x", "panic: x\n\ngoroutine 7 [running]:\nmain.main()"}},
	{"", answer{200, "text/html", "/forum", "<pre>\tat org.example.Door.open(Door.java:17)</pre>"}},
	{"", answer{500, "text/html", "/x", "<h1>Something went wrong</h1><p>We meet at the door at 5.</p>"}},
	{"database-error", answer{500, "text/html", "/x", "You have an error in your SQL syntax; check the manual that corresponds"}},
	{"listing", answer{200, "text/html", "/files/", "<html><head><title>Index of /files</title></head><body><h1>Index of /files</h1>"}},
	{"", answer{200, "text/html", "/book", "<title>Index of names</title><h1>Index of names</h1>"}},
	{"cards", answer{200, "text/csv", "/x.csv", "a,4111111111111111\nb,5500 0055 5555 5559\nc,340000000000009\n"}},
	{"", answer{200, "text/csv", "/x.csv", "a,4111111111111111\nb,4111111111111111\n"}},
	{"", answer{200, "text/csv", "/ids.csv", "4111111111111111\n5500005555555559\n340000000000009\n4111111111111112\n4111111111111113\n4111111111111114\n"}},
	{"", answer{200, "application/json", "/x", `{"ids":[1700000000000000,1700000000000001],"a":4.111111111111111,"b":"x4111111111111111"}`}},
}

func TestLeaksAreFoundByWhatTheyAre(t *testing.T) {
	s := New(&policy.Policy{}, nil)
	for _, c := range leaks {
		got := ""
		if found := s.look(&c.answer); found != nil {
			got = found.name
		}
		if got != c.check {
			t.Errorf("%s %q: found %q, want %q", c.path, c.body[:min(60, len(c.body))], got, c.check)
		}
	}
}

// sink is an exchange that keeps what is sent.
type sink struct {
	wire.Exchange
	method  string
	events  []string
	body    bytes.Buffer
	aborted bool
}

func (s *sink) Request() *wire.Request { return &wire.Request{Method: s.method} }
func (s *sink) Respond(int, flow.Header, int64) error {
	s.events = append(s.events, "head")
	return nil
}
func (s *sink) Write(p []byte) (int, error) {
	s.events = append(s.events, "body")
	return s.body.Write(p)
}
func (s *sink) Flush() error          { s.events = append(s.events, "flush"); return nil }
func (s *sink) End(flow.Header) error { s.events = append(s.events, "end"); return nil }
func (s *sink) Abort()                { s.aborted = true }

func header(fields ...string) flow.Header {
	h := flow.NewHeader(2)
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// send sends an answer in parts through a guard; "" is a flush.
func send(t *testing.T, s *Stage, to *sink, block bool, h flow.Header, length int64, parts ...string) (g *Guard, err error) {
	t.Helper()
	g = s.Guard(to, &flow.Facts{Path: flow.Path{Clean: "/x"}}, block)
	if err = g.Respond(500, h, length); err != nil {
		return g, err
	}
	for _, p := range parts {
		if p == "" {
			err = g.Flush()
		} else {
			_, err = g.Write([]byte(p))
		}
		if err != nil {
			return g, err
		}
	}
	return g, g.End(flow.Header{})
}

func TestALeakIsKeptBackAndEverythingElseComesWhole(t *testing.T) {
	long := strings.Repeat("a door. ", 5000)
	for _, c := range []struct {
		name   string
		block  bool
		header flow.Header
		parts  []string
		leak   bool
		want   string // what the visitor gets
		events string
	}{
		{"nothing", true, header("Content-Type", "text/html"), []string{"<p>", "hello"}, false, "<p>hello", "head body end"},
		{"long", true, header("Content-Type", "text/html"), []string{long[:10000], long[10000:]}, false, long, "head body body end"},
		{"a leak", true, header("Content-Type", "text/plain"), []string{"x\n" + pem}, true, "", ""},
		{"in two parts", true, header("Content-Type", "text/plain"), []string{pem[:20], pem[20:]}, true, "", ""},
		{"counted", false, header("Content-Type", "text/plain"), []string{pem}, true, pem, "head body end"},
		{"parts", true, header("Content-Type", "text/html"), []string{"", "one", "", "two", ""}, false, "onetwo", "head body flush body flush end"},
		{"a leak in a later part", true, header("Content-Type", "text/plain"), []string{"one\n", "", pem}, true, "one\n", "head body flush"},
		{"events", true, header("Content-Type", "text/event-stream"), []string{"", pem}, false, pem, "head flush body end"},
		{"a picture", true, header("Content-Type", "image/png"), []string{pem}, false, pem, "head body end"},
		{"br", true, header("Content-Type", "text/plain", "Content-Encoding", "br"), []string{pem}, false, pem, "head body end"},
		{"gzip", true, header("Content-Type", "text/plain", "Content-Encoding", "gzip"), []string{zipped(pem)}, true, "", ""},
	} {
		s, to := New(&policy.Policy{}, nil), &sink{method: "GET"}
		g, err := send(t, s, to, c.block, c.header, -1, c.parts...)
		name, _, sent := g.Leak()
		g.Close()
		if (name != "") != c.leak || c.leak && c.block != errors.Is(err, errLeak) || sent != (c.want != "") {
			t.Errorf("%s: leak %q, sent %v, %v", c.name, name, sent, err)
		}
		if to.body.String() != c.want || strings.Join(to.events, " ") != c.events {
			t.Errorf("%s: the visitor has %d bytes of %d by %v", c.name, to.body.Len(), len(c.want), to.events)
		}
		g.Abort()
		if want := sent || !c.leak; to.aborted != want {
			t.Errorf("%s: broken off %v", c.name, to.aborted)
		}
		if n := s.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held for ever", c.name, n)
		}
	}
}

func TestAnswersBeyondTheBoundPassUnseen(t *testing.T) {
	s, to := New(&policy.Policy{}, nil), &sink{method: "GET"}
	s.held.Store(maxHeld)
	g, err := send(t, s, to, true, header("Content-Type", "text/plain"), -1, pem)
	if name, _, _ := g.Leak(); err != nil || name != "" || to.body.String() != pem {
		t.Errorf("leak %q, %v", name, err)
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func FuzzLook(f *testing.F) {
	for _, c := range leaks {
		f.Add(c.status, c.media, c.path, c.body)
	}
	s := New(&policy.Policy{}, nil)
	f.Fuzz(func(t *testing.T, status int, media, path, body string) {
		a := answer{status, media, path, body[:min(len(body), Prefix)]}
		if s.look(&a) != s.look(&a) {
			t.Error("two looks see different things")
		}
	})
}

func BenchmarkLook(b *testing.B) {
	s := New(&policy.Policy{}, nil)
	a := answer{200, "text/html", "/x", strings.Repeat("<p>It is 10:30, and the door 4711 of house 17 is open; call 030 1234567.</p>\n", 210)}
	b.SetBytes(int64(len(a.body)))
	b.ReportAllocs()
	for b.Loop() {
		if s.look(&a) != nil {
			b.Fatal("a leak")
		}
	}
}
