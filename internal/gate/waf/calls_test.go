package waf

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"stormdoor/flow"
	"stormdoor/policy"
)

const shopTypes = `file { name: "shop.proto" package: "shop" syntax: "proto3"
  message_type { name: "Order"
    field { name: "note" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "blob" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL }
    field { name: "part" number: 5 type: TYPE_MESSAGE type_name: ".shop.Order" label: LABEL_OPTIONAL } }
  service { name: "Shop" method { name: "Buy" input_type: ".shop.Order" output_type: ".shop.Order" client_streaming: true } } }`

// calling is a stage that knows the types of the site's messages.
func calling(t testing.TB, mode policy.WAFMode, change func(*policy.Policy)) *Stage {
	var set descriptorpb.FileDescriptorSet
	if err := prototext.Unmarshal([]byte(shopTypes), &set); err != nil {
		t.Fatal(err)
	}
	text, err := proto.Marshal(&set)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "api.binpb")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return stage(t, mode, func(p *policy.Policy) {
		for i := range p.Sites {
			p.Sites[i].Protobuf = file
		}
		if change != nil {
			change(p)
		}
	})
}

// watched sends a body as one who forwards it does, and returns what went on.
func watched(t testing.TB, s *Stage, f *flow.Facts, body io.Reader) (v flow.Verdict, got string, err error) {
	t.Helper()
	if s.WatchesBody(f) == s.WantsBody(f) {
		t.Fatalf("%s of %s is watched and wanted, or neither", f.Proto, f.Header.Get("Content-Type"))
	}
	if s.WantsBody(f) {
		return read(t, s, f, body)
	}
	held := s.WatchUnder(context.Background(), f, body)
	var b bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{held.Reader()}, make([]byte, 32<<10))
	held.Release()
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are still in the account", n)
	}
	v, _ = held.Late()
	return v, b.String(), err
}

func callTo(path, mediaType string, fields ...string) *flow.Facts {
	f := facts("POST", path, "", append([]string{"Content-Type", mediaType}, fields...)...)
	f.Proto, f.Length = flow.HTTP2, -1
	return f
}

func order(note string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), note))
}

func within(n protowire.Number, inside string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), inside))
}

func frame(flags byte, message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message)))) + message
}

func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

const sqlAttack = "1' UNION SELECT password FROM users--"

func TestMessagesOfCallsAreJudged(t *testing.T) {
	s := calling(t, policy.WAFBlocks, nil)
	const buy, none = "/shop.Shop/Buy", "/shop.Shop/None"
	bad, good := within(5, order(sqlAttack)), within(5, order("two doors, please"))
	for _, c := range []struct {
		name, path string
		f          []string
		body       string
		rule       string // of the refusal, "" for none, "942" for a score by those
	}{
		{"a text", buy, []string{"application/grpc"}, frame(0, good), ""},
		{"an attack", buy, []string{"application/grpc"}, frame(0, bad), "942"},
		{"in the third message", buy, []string{"application/grpc+proto"}, frame(0, good) + frame(0, "") + frame(0, bad), "942"},
		{"a method that is not declared", none, []string{"application/grpc"}, frame(0, bad), ""},
		{"bytes", buy, []string{"application/grpc"}, frame(0, within(3, sqlAttack)), ""},
		{"packed", buy, []string{"application/grpc", "Grpc-Encoding", "gzip"}, frame(1, zip(good)), ""},
		{"an attack, packed", buy, []string{"application/grpc", "Grpc-Encoding", "gzip"}, frame(0, good) + frame(1, zip(bad)), "942"},
		{"packed otherwise than it says", buy, []string{"application/grpc", "Grpc-Encoding", "gzip"}, frame(1, bad), "200002"},
		{"packed in nothing", buy, []string{"application/grpc"}, frame(1, zip(good)), "200002"},
		{"packed in two ways, of which servers undo one", buy, []string{"application/grpc", "Grpc-Encoding", "zstd", "Grpc-Encoding", "gzip"}, frame(1, zip(good)), "200002"},
		{"nothing, said to be packed", buy, []string{"application/grpc"}, frame(1, "") + frame(0, good), ""},
		{"packed, of no type", none, []string{"application/grpc", "Grpc-Encoding", "snappy"}, frame(1, zip(bad)), ""},
		{"over the web", buy, []string{"application/grpc-web+proto"}, frame(0, bad), "942"},
		{"as text over the web", buy, []string{"application/grpc-web-text"}, base64.StdEncoding.EncodeToString([]byte(frame(0, bad))), "942"},
		{"a good one as text", buy, []string{"application/grpc-web-text+proto"}, base64.StdEncoding.EncodeToString([]byte(frame(0, good))), ""},
		{"as two texts", buy, []string{"application/grpc-web-text"}, base64.StdEncoding.EncodeToString([]byte(frame(0, good))) + base64.StdEncoding.EncodeToString([]byte(frame(0, bad))), "942"},
		{"no text", buy, []string{"application/grpc-web-text"}, "???=", "200002"},
		{"Connect", buy, []string{"application/proto"}, good, ""},
		{"an attack by Connect", buy, []string{"application/proto"}, bad, "942"},
		{"a stream of Connect", buy, []string{"application/connect+proto", "Connect-Content-Encoding", "gzip"}, frame(0, good) + frame(1, zip(bad)), "942"},
		{"JSON in a stream of Connect", buy, []string{"application/connect+json"}, frame(0, `{"note":"two doors"}`), ""},
		{"an attack in it", buy, []string{"application/connect+json"}, frame(0, `{}`) + frame(0, `{"note":"`+sqlAttack+`"}`), "942"},
		{"an attack in JSON of gRPC", none, []string{"application/grpc+json"}, frame(0, `{"note":"`+sqlAttack+`"}`), "942"},
		{"what is no JSON", none, []string{"application/grpc+json"}, frame(0, `{`), "200002"},
		{"another encoding, which servers read as this one", buy, []string{"application/grpc+thrift"}, frame(0, bad), "942"},
		{"another encoding", none, []string{"application/grpc+thrift"}, frame(0, `{`), ""},
		{"cut in a head", none, []string{"application/grpc"}, frame(0, good) + "\x00\x00", "200002"},
		{"cut in a message", none, []string{"application/grpc"}, frame(0, good)[:9], "200002"},
		{"no frame", none, []string{"application/grpc"}, `{"a":1}`, "200002"},
		{"a message that is none", buy, []string{"application/grpc"}, frame(0, "\x0a\x7fshort"), "200002"},
		{"telemetry", "/v1/traces", []string{"application/x-protobuf"}, within(3, sqlAttack) + "\x10\x00", ""},
		{"telemetry, packed", "/v1/traces", []string{"application/x-protobuf", "Content-Encoding", "gzip"}, zip(good), ""},
		{"packed as Prometheus does", "/api/v1/write", []string{"application/x-protobuf", "Content-Encoding", "snappy"}, "\x19\x60" + good, ""},
		{"JSON that is said to be a message", "/v1/traces", []string{"application/x-protobuf"}, `{"id":"` + sqlAttack + `"}`, "942"},
		{"the same, said to be packed", "/v1/traces", []string{"application/x-protobuf", "Content-Encoding", "snappy"}, `{"id":"` + sqlAttack + `"}`, "200002"},
		{"behind blanks", "/v1/traces", []string{"application/x-protobuf", "Content-Encoding", "snappy"}, strings.Repeat(" ", 3000) + `{"id":"7 doors"}`, "200002"},
		{"JSON of two bytes a character", "/v1/traces", []string{"application/x-protobuf"}, " \x00{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", "920270"},
		{"JSON, packed and said to be a message", "/v1/traces", []string{"application/x-protobuf", "Content-Encoding", "gzip"}, zip(`{"id":"` + sqlAttack + `"}`), "942"},
		{"a form that is said to be one", "/v1/traces", []string{"application/x-protobuf"}, "id=1'+UNION+SELECT+password+FROM+users--", "942"},
		{"what is said to be packed in an unknown way", "/v1/traces", []string{"application/x-protobuf", "Content-Encoding", "x"}, "id=1", "200002"},
		{"messages behind their lengths", "/metrics", []string{"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"}, "\x07" + order("a\x01bcd") + "\x03" + order("a"), ""},
		{"a question about a name", "/dns-query", []string{"application/dns-message"}, "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01", ""},
		{"mail on a phone", "/Microsoft-Server-ActiveSync", []string{"application/vnd.ms-sync.wbxml"}, "\x03\x01\x6a\x00\x45\x5c\x4f\x4b\x03" + "0" + "\x00\x01", ""},
		{"JSON that is said to be something else", "/x", []string{"application/msgpack"}, `{"id":"\x01` + sqlAttack + `"}`, "942"},
		{"a form that is said to be something else", "/x", []string{"application/cbor"}, "id=1'+UNION+SELECT+password+FROM+users--", "942"},
		{"a packed message by Connect", buy, []string{"application/proto", "Content-Encoding", "gzip"}, zip(bad), "942"},
		{"a good one", buy, []string{"application/proto", "Content-Encoding", "gzip"}, zip(good), ""},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader} {
			f := callTo(c.path, c.f[0], c.f[1:]...)
			v, got, err := watched(t, s, f, wrap(strings.NewReader(c.body)))
			if c.rule == "" {
				if v.Action > flow.Admit || got != c.body || err != nil {
					t.Errorf("%s, %s: %+v, %v, %d of %d bytes", c.name, name, v, err, len(got), len(c.body))
				}
				continue
			}
			if !v.Sure() || !strings.HasPrefix(v.Rule, c.rule) || s.WatchesBody(f) && !errors.Is(err, errRefused) || len(got) >= len(c.body) && !strings.HasPrefix(c.name, "cut") {
				t.Errorf("%s, %s: %+v, %v, %d of %d bytes", c.name, name, v, err, len(got), len(c.body))
			}
			if x := s.Examine(f, []byte(c.body)); x.Verdict.Rule != v.Rule || x.Verdict.Reason != v.Reason {
				t.Errorf("%s: examined as %+v, judged as %+v", c.name, x.Verdict, v)
			}
		}
	}
}

// Where rules only count, everything goes on as it came, whatever is found.
func TestCallsWhereRulesOnlyCount(t *testing.T) {
	s := calling(t, policy.WAFCounts, nil)
	for _, body := range []string{frame(0, order(sqlAttack)) + frame(0, order("b")), frame(1, "x") + frame(0, order("b")), "no frames at all", frame(0, order("a"))[:7]} {
		v, got, err := watched(t, s, callTo("/shop.Shop/Buy", "application/grpc"), ragged{strings.NewReader(body)})
		if !v.Dry || v.Action != flow.Refuse || got != body || err != nil {
			t.Errorf("%q: %+v, %v, %q", body, v, err, got)
		}
	}
}

// A message goes on as soon as it is here whole, whatever comes behind it: a stream may wait for the answer before it sends the next.
func TestAMessageDoesNotWaitForTheNext(t *testing.T) {
	s := calling(t, policy.WAFBlocks, nil)
	for name, first := range map[string]string{"a message": frame(0, order("first")), "a packed one": frame(1, zip(order("first"))), "many texts": frame(0, strings.Repeat(order("first"), 3000))} {
		in, out := io.Pipe()
		held := s.WatchUnder(context.Background(), callTo("/shop.Shop/Buy", "application/grpc", "Grpc-Encoding", "gzip"), in)
		go func() { _, _ = io.WriteString(out, first) }() // and no end
		got := make([]byte, len(first))
		if _, err := io.ReadFull(held.Reader(), got); err != nil || string(got) != first {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
		if n := s.held.Load(); n != 0 {
			t.Errorf("%s: between messages %d bytes are held", name, n)
		}
		_ = out.Close()
		held.Release()
	}
}

// A message of any length goes through, with texts that are longer than what is inspected at once and files in it, and in bounded memory.
func TestLongMessages(t *testing.T) {
	s := calling(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody = 32 << 10 })
	prose := strings.Repeat("the door is open today and tomorrow, ", 6000)
	for _, c := range []struct {
		name, message string
		refused       bool
	}{
		{"a text", order(prose), false},
		{"an attack in its middle", order(prose[:100_000] + sqlAttack + prose), true},
		{"an attack across a cut", order(prose[:32<<10-20] + sqlAttack + prose), true},
		{"an attack at its end", order(prose + sqlAttack), true},
		{"a file", within(3, strings.Repeat("\x00\xff"+sqlAttack, 40_000)) + order("a file"), false},
		{"behind a file", within(3, strings.Repeat("\x00\xff", 400_000)) + order(sqlAttack), true},
		{"many texts", strings.Repeat(order("a door"), 60_000), false},
		{"one of many", strings.Repeat(order("a door"), 30_000) + order(sqlAttack) + strings.Repeat(order("a door"), 3000), true},
	} {
		for _, proto := range []string{"application/grpc", "application/grpc-web-text"} {
			body := frame(0, c.message) + frame(0, order("the end"))
			if strings.HasSuffix(proto, "text") {
				body = base64.StdEncoding.EncodeToString([]byte(body))
			}
			most := int64(0)
			reader := readFunc(func() func([]byte) (int, error) {
				r := ragged{strings.NewReader(body)}
				return func(p []byte) (int, error) { most = max(most, s.held.Load()); return r.Read(p) }
			}())
			v, got, err := watched(t, s, callTo("/shop.Shop/Buy", proto), reader)
			if v.Sure() != c.refused || !c.refused && (got != body || err != nil) || c.refused && len(got) == len(body) {
				t.Errorf("%s, %s: %+v, %v, %d of %d bytes", c.name, proto, v, err, len(got), len(body))
			}
			if most > 12*32<<10 {
				t.Errorf("%s, %s: %d bytes were held", c.name, proto, most)
			}
		}
	}
}

type readFunc func([]byte) (int, error)

func (r readFunc) Read(p []byte) (int, error) { return r(p) }

// A long message without a declared type goes on as it came, and is examined as it is judged.
func TestLongMessagesWithoutTypes(t *testing.T) {
	s := calling(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody = 4 << 10 })
	body := strings.Repeat(within(3, "\x00"+sqlAttack), 1000)
	for _, coding := range []string{"", "gzip"} {
		sent := body
		if coding != "" {
			sent = zip(body)
		}
		f := callTo("/v1/traces", "application/x-protobuf", "Content-Encoding", coding)
		v, got, err := watched(t, s, f, strings.NewReader(sent))
		if v.Action > flow.Admit || got != sent || err != nil {
			t.Errorf("%q: %+v, %v, %d of %d bytes", coding, v, err, len(got), len(sent))
		}
		if x := s.Examine(f, []byte(sent)); x.Verdict.Action > flow.Admit || !x.Streamed {
			t.Errorf("%q: examined as %+v", coding, x.Verdict)
		}
	}
}

// A sender may announce how long its body is, and whoever sends it on then does not ask for its end.
func TestTheEndOfABodyThatWasAnnounced(t *testing.T) {
	s := calling(t, policy.WAFBlocks, nil)
	body := order("a door") + "\x0a\x7f" + sqlAttack // a text that does not end, which some servers read as far as it goes
	f := callTo("/shop.Shop/Buy", "application/proto")
	f.Length = int64(len(body))
	held := s.WatchUnder(context.Background(), f, strings.NewReader(body+"more"))
	got, err := io.ReadAll(io.LimitReader(held.Reader(), f.Length))
	if !errors.Is(err, errRefused) || strings.Contains(string(got), "password") {
		t.Errorf("%q, %v", got, err)
	}
	held.Release()
}

// What a few bytes hold once they are unpacked is bounded over the whole body, and the head of a request is not judged again for every message.
func TestMessagesCostWhatTheyAre(t *testing.T) {
	s := calling(t, policy.WAFBlocks, nil)
	bomb := strings.Repeat(frame(1, zip(order(strings.Repeat("a", 60_000)))), 100)
	v, got, _ := watched(t, s, callTo("/shop.Shop/Buy", "application/grpc", "Grpc-Encoding", "gzip"), strings.NewReader(bomb))
	if v.Reason != flow.WAFBody || len(got) > 0 {
		t.Errorf("%+v, %d of %d bytes", v, len(got), len(bomb))
	}
	f := callTo("/shop.Shop/Buy", "application/grpc+json")
	f.Query = strings.Repeat("q=the+door+is+open;+select+a+chair+from+the+shop&", 200)
	tiny := strings.Repeat(frame(0, "1"), 1000)
	if v, got, err := watched(t, s, f, strings.NewReader(tiny)); v.Work > 1000*int64(len(tiny)) || got != tiny {
		t.Errorf("%d bytes took work of %d: %v, %v", len(tiny), v.Work, v, err)
	}
}

// What has to be looked at whole and is too long for that is refused, as over_body has it.
func TestMessagesThatAreTooLongToBeLookedAt(t *testing.T) {
	body := frame(0, `{"note":"`+strings.Repeat("a", 5000)+`"}`)
	for over, refused := range map[policy.OverBody]bool{policy.OverFollowed: true, policy.OverRefused: true, policy.OverPrefix: false} {
		s := calling(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody, p.WAF.OverBody = 4<<10, over })
		v, got, _ := watched(t, s, callTo("/shop.Shop/Buy", "application/connect+json"), strings.NewReader(body))
		if v.Sure() != refused || (got == body) == refused || refused && v.Reason != flow.WAFBody {
			t.Errorf("%s: %+v, %d bytes", over, v, len(got))
		}
	}
}

// What calls hold is in the account of held bodies: with no room there, a message that has to be held is refused.
func TestHeldMessagesAreBounded(t *testing.T) {
	s := calling(t, policy.WAFBlocks, nil)
	s.held.Store(maxHeld)
	held := s.WatchUnder(context.Background(), callTo("/shop.Shop/Buy", "application/grpc"), iotest.OneByteReader(strings.NewReader(frame(0, order("a door")))))
	_, err := io.ReadAll(held.Reader())
	if v, _ := held.Late(); v.Reason != flow.WAFFull || !errors.Is(err, errRefused) {
		t.Errorf("%+v, %v", v, err)
	}
	held.Release()
	if s.held.Load() != maxHeld {
		t.Error("the account has changed by", s.held.Load()-maxHeld)
	}
}

// Connect asks for what changes nothing by GET, with the message in the query.
func TestMessagesInTheQuery(t *testing.T) {
	s := calling(t, policy.WAFBlocks, nil)
	b64 := base64.RawURLEncoding.EncodeToString
	for query, rule := range map[string]string{
		"connect=v1&encoding=proto&base64=1&message=" + b64([]byte("\x1a\x01x"+order(sqlAttack))):           "942",
		"connect=v1&encoding=proto&base64=1&message=" + b64([]byte(order("two doors"))):                     "",
		"connect=v1&encoding=proto&base64=1&compression=gzip&message=" + b64([]byte(zip(order(sqlAttack)))): "942",
		"connect=v1&encoding=proto&base64=1&message=" + b64([]byte("\x0a\x7f")):                             "200002",
		"connect=v1&encoding=proto&base64=1&message=&message=" + b64([]byte(order("two doors"))):            "200002",
		"q=two+doors": "",
	} {
		f := facts("GET", "/shop.Shop/Buy", query)
		v, err := s.Decide(context.Background(), f)
		if err != nil || (v.Action == flow.Refuse) != (rule != "") || !strings.HasPrefix(v.Rule, rule) {
			t.Errorf("%s: %+v, %v", query, v, err)
		}
	}
}

func TestTypesThatCannotBeRead(t *testing.T) {
	p := &policy.Policy{Sites: []policy.Site{{Name: "shop", Protobuf: "/none/api.binpb"}}}
	if _, err := New(p, Options{}); err == nil || !strings.Contains(err.Error(), "/none/api.binpb cannot be read") {
		t.Error(err)
	}
}

// FuzzMessages: whatever comes in whatever pieces, what goes on is what came, and the pieces do not matter to the verdict.
func FuzzMessages(f *testing.F) {
	s := calling(f, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody = 1 << 10 })
	types := []string{"application/grpc", "application/grpc-web-text", "application/connect+json", "application/proto", "application/grpc+x"}
	for i := range types {
		f.Add(uint8(i), []byte(frame(0, order("a"))+frame(1, zip(order(sqlAttack)))))
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		q := func() *flow.Facts {
			return callTo("/shop.Shop/Buy", types[int(kind)%len(types)], "Grpc-Encoding", "gzip")
		}
		v, got, err := watched(t, s, q(), bytes.NewReader(body))
		w, parts, errParts := watched(t, s, q(), ragged{bytes.NewReader(body)})
		if v.Sure() != w.Sure() || (err == nil) != (errParts == nil) || err == nil && (got != string(body) || parts != string(body)) || !bytes.HasPrefix(body, []byte(parts)) {
			t.Fatal(fmt.Sprintf("%+v, %v, %q", v, err, got), fmt.Sprintf("%+v, %v, %q", w, errParts, parts))
		}
	})
}
