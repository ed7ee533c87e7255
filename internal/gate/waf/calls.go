package waf

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/protobuf"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// call says how the messages of a remote call stand in its body: one message, or many, each behind a byte and its length.
type call struct {
	framed bool // as in gRPC, gRPC-Web and streams of Connect
	base64 bool // gRPC-Web as text
	kind   messageKind
	coding string // of messages that say that they are packed, and of one that stands alone
}

type messageKind uint8

const (
	protoMessage messageKind = iota // or of another encoding: servers that do not know it read it as this one
	jsonMessage
)

// severalCodings stands for a list of codings where there is to be one: servers read it in different ways.
const severalCodings = "?"

// callOf says how a request calls; ok is false for a request of another kind. gRPC itself is HTTP/2's.
func callOf(f *flow.Facts) (c call, ok bool) {
	t, _, _ := strings.Cut(f.Header.Get("Content-Type"), ";")
	t = strings.ToLower(strings.TrimSpace(t))
	t, ok = strings.CutPrefix(t, "application/")
	if !ok {
		return c, false
	}
	protocol, encoding, _ := strings.Cut(t, "+")
	coding := "grpc-encoding"
	switch protocol {
	case "proto", "protobuf", "x-protobuf", "x-google-protobuf", "vnd.google.protobuf":
		return call{coding: listed(f, "content-encoding")}, encoding == ""
	case "connect":
		coding = "connect-content-encoding"
		if encoding == "" {
			return c, false
		}
	case "grpc":
		if f.Proto != flow.HTTP2 && f.Proto != flow.HTTP3 {
			return c, false
		}
	case "grpc-web":
	case "grpc-web-text":
		c.base64 = true
	default:
		return c, false
	}
	c.framed, c.coding = true, listed(f, coding)
	if strings.Contains(c.coding, ",") {
		c.coding = severalCodings
	}
	if encoding == "json" {
		c.kind = jsonMessage
	}
	return c, true
}

// listed is the list that the fields of a name make (RFC 9110, section 5.3), "" for none.
func listed(f *flow.Facts, name string) (list string) {
	for i := range f.Header.Len() {
		h := f.Header.At(i)
		switch {
		case !flow.EqualFold(h.Name, name) || strings.EqualFold(h.Value, "identity"):
		case list == "":
			list = h.Value
		default:
			list += "," + h.Value
		}
	}
	return list
}

// takes is the type of the messages that a request may send; nil where none is declared.
func (s *Stage) takes(f *flow.Facts) *protobuf.Message {
	if schema := s.schemas[f.Site]; schema != nil {
		return schema.Takes(f.Path.Clean)
	}
	return nil
}

// WatchesBody reports whether the request has a body that is looked at on its way: the messages of remote calls, which may come for as long as
// the call lasts. One that stands alone is looked at on its way if its type is declared.
func (s *Stage) WatchesBody(f *flow.Facts) bool {
	if f.Length == 0 || f.Method == "CONNECT" || s.mode(f) == policy.WAFOff {
		return false
	}
	c, ok := callOf(f)
	return ok && (c.framed || s.takes(f) != nil)
}

// WatchUnder returns the body of a request for which WatchesBody, in the serving function of the exchange whose context ctx is.
func (s *Stage) WatchUnder(ctx context.Context, f *flow.Facts, body io.Reader) *Held {
	m := s.watch(f, body)
	if m.takes != nil || m.kind == jsonMessage {
		ctx.Done() // what is judged is judged where the body is sent on, which must not be an event loop
	}
	return &Held{stage: s, followed: m, takes: &m.holds}
}

func (s *Stage) watch(f *flow.Facts, body io.Reader) *messages {
	c, _ := callOf(f)
	m := &messages{call: c, stage: s, facts: f.Clone(), mode: s.mode(f), src: body}
	m.judge, m.holds.account = m.judged, s.held
	if c.kind == protoMessage {
		if m.takes = s.takes(f); m.takes != nil {
			m.decoder = protobuf.NewDecoder(s.schemas[f.Site], int(s.limit))
		}
	}
	return m
}

// isBinary reports whether a body that is said to be a message of Protocol Buffers is one and no text, of which the beginning is there, or one of another
// encoding that is no text: then no program reads it as a document, and the rules have nothing to say of it. Most messages have bytes of no text, since they have lengths.
func (s *Stage) isBinary(f *flow.Facts, body []byte) bool {
	c, ok := callOf(f)
	switch {
	case c.framed || !ok && !binaryType(f.Header.Get("Content-Type")) || !noText(body):
		return false
	case !ok:
		plain, whole, more := seclang.Unpack(body, listed(f, "content-encoding"), int(s.limit)+1)
		return (whole || more) && noText(plain)
	}
	switch strings.ToLower(c.coding) {
	case "":
		return isMessage(body) || strings.Contains(strings.ToLower(f.Header.Get("Content-Type")), "delimited")
	case "snappy": // of Prometheus; who knows this coding knows messages
		_, n := protowire.ConsumeVarint(body)
		return n > 0 && n < len(body) && body[n]&3 == 0 // a block begins with its length and a literal
	}
	plain, _, _ := seclang.Unpack(body, c.coding, int(s.limit))
	return noText(plain) && isMessage(plain)
}

// binaryType reports whether a media type is an encoding that is no text: of values, of names of hosts, of certificates, of mail on phones.
func binaryType(mediaType string) bool {
	t, _, _ := strings.Cut(mediaType, ";")
	t, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(t)), "application/")
	return ok && (binaryTypes[t] || binaryTypes[strings.TrimPrefix(t, "x-")] || binaryTypes[t[strings.LastIndexByte(t, '+')+1:]])
}

// binaryTypes are by what stands behind "application/", or behind "+".
var binaryTypes = map[string]bool{
	"msgpack": true, "vnd.msgpack": true, "cbor": true, "cose": true, "avro": true, "bson": true,
	"wbxml": true, "vnd.wap.wbxml": true, "vnd.ms-sync.wbxml": true, "vnd.ms-sync": true, "thrift": true, "vnd.apache.thrift.binary": true, "vnd.apache.thrift.compact": true,
	"dns-message": true, "oblivious-dns-message": true, "ohttp-req": true, "ocsp-request": true, "timestamp-query": true,
	"pkcs10": true, "pkcs7-mime": true, "pkcs7-signature": true, "pkix-cert": true, "wasm": true, "java-archive": true,
}

// isMessage reports whether bytes are fields of a message, as far as they go.
func isMessage(b []byte) bool {
	d := protobuf.NewDecoder(nil, 0)
	d.Begin(nil, -1)
	return d.Write(b) == nil
}

// noText reports whether bytes have control characters, and nothing in front of which a reader that takes those could take them for JSON or XML, in
// whatever encoding.
func noText(b []byte) bool {
	control := slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\t' && c != '\n' && c != '\r' })
	if !control || bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) || bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return false
	}
	return !documentBegins.Match(bytes.ReplaceAll(b[:min(len(b), mostBlank)], []byte{0}, nil))
}

// mostBlank is how far the beginning of a document is looked for, in bytes.
const mostBlank = 4 << 10

// documentBegins is how JSON and XML begin, behind blanks and control characters.
var documentBegins = regexp.MustCompile(`^[\x00-\x20]*(?:\{[\x00-\x20]*["}]|\[[\x00-\x20]*["{\[\d\]tfn-]|<[?!A-Za-z]|"[\x20-\x7e]*")`)

// newSchemas loads the types of the sites' messages. The error joins *policy.Fault.
func newSchemas(p *policy.Policy) (map[string]*protobuf.Schema, error) {
	out, loaded := map[string]*protobuf.Schema{}, map[string]*protobuf.Schema{}
	var errs []error
	for i := range p.Sites {
		site := &p.Sites[i]
		if site.Protobuf == "" {
			continue
		}
		schema, err := loaded[site.Protobuf], error(nil)
		if schema == nil {
			if schema, err = protobuf.Load(site.Protobuf); err != nil {
				errs = append(errs, policy.Of(`site "`+site.Name+`"`, policy.Item("sites", i)+".protobuf", err))
				continue
			}
			loaded[site.Protobuf] = schema
		}
		out[site.Name] = schema
	}
	return out, errors.Join(errs...)
}

// portion is what of a body is judged in one turn.
type portion struct {
	texts   []protobuf.Text
	json    []byte // a message of JSON
	size    int    // in bytes
	problem string // what is wrong with the body, "" for nothing
}

// feed returns what tells the rules a request of whose body only the portion is told, and of whose head only what rules about bodies need to know:
// it was judged before. An operator's own rules may need more.
func (p portion) feed(s *Stage, f *flow.Facts) func(*seclang.Transaction) {
	return func(tx *seclang.Transaction) {
		defer tx.Finish()
		brief := flow.Facts{Method: f.Method, Proto: f.Proto, Host: f.Host, Client: f.Client}
		brief.Path.Raw = f.Path.Raw
		for _, name := range [...]string{"Host", "Content-Type", "Content-Length", "Transfer-Encoding"} {
			if v := f.Header.Get(name); v != "" {
				brief.Header.Add(name, v)
			}
		}
		if len(s.policy.Files) > 0 {
			brief = *f
		}
		if _, refused := feedHead(tx, &brief); refused {
			return
		}
		if p.json != nil {
			tx.RequestBody(p.json)
		} else {
			tellTexts(tx, p.texts, p.problem)
		}
		tx.RequestEnd()
	}
}

func tellTexts(tx *seclang.Transaction, texts []protobuf.Text, problem string) {
	arguments := make([]seclang.Argument, len(texts))
	for i, t := range texts {
		arguments[i] = seclang.Argument(t)
	}
	tx.RequestArguments(arguments, problem)
}

// inspectPortion takes a portion of a body through the rules.
func (s *Stage) inspectPortion(f *flow.Facts, mode policy.WAFMode, p portion) flow.Verdict {
	start := s.start(f, mode, p.size)
	start.Observer = s.observer()
	tx := s.rules.New(start)
	defer tx.Close()
	p.feed(s, f)(tx)
	s.charge(f, tx)
	return s.verdict(f, tx, mode)
}

// tellQuery tells the rules the message that a query holds instead of a body (Connect, "Unary-Get-Request"), where its type is declared.
func (s *Stage) tellQuery(tx *seclang.Transaction, f *flow.Facts) {
	if f.Query == "" || s.schemas[f.Site] == nil || f.Method != "GET" && f.Method != "HEAD" {
		return
	}
	takes := s.takes(f)
	query, err := url.ParseQuery(f.Query)
	if takes == nil || !query.Has("message") || query.Get("encoding") == "json" && err == nil {
		return // JSON is read as such where it stands
	}
	texts, err := s.queryTexts(f, takes, query, err)
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	tellTexts(tx, texts, problem)
}

// errQuery is a message in a query that is told in several ways.
var errQuery = errors.New("a message in the query that cannot be read in one way")

func (s *Stage) queryTexts(f *flow.Facts, takes *protobuf.Message, query url.Values, err error) ([]protobuf.Text, error) {
	for _, name := range [...]string{"message", "encoding", "base64", "compression"} {
		if len(query[name]) > 1 {
			err = errQuery
		}
	}
	if err != nil {
		return nil, err
	}
	message := []byte(query.Get("message"))
	if query.Get("base64") == "1" {
		if message, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(string(message), "=")); err != nil {
			return nil, errBase64
		}
	}
	if coding := query.Get("compression"); coding != "" && coding != "identity" {
		var ok bool
		if message, ok, _ = seclang.Unpack(message, coding, int(s.limit)); !ok {
			return nil, errPacked
		}
	}
	d := protobuf.NewDecoder(s.schemas[f.Site], int(s.limit))
	d.Begin(takes, int64(len(message)))
	if err = d.Write(message); err == nil {
		err = d.End()
	}
	return d.Texts, err
}
