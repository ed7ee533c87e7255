package waf

import (
	"context"
	"errors"
	"io"
	"strings"

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
	otherMessage messageKind = iota // of another encoding, which is not looked into
	protoMessage
	jsonMessage
)

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
		return call{kind: protoMessage, coding: listed(f, "content-encoding")}, encoding == ""
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
	switch encoding {
	case "", "proto":
		c.kind = protoMessage
	case "json":
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

// WatchesBody reports whether the request has a body that is looked at on its way: the messages of remote calls, which may come for as long as
// the call lasts.
func (s *Stage) WatchesBody(f *flow.Facts) bool {
	if f.Length == 0 || f.Method == "CONNECT" || s.mode(f) == policy.WAFOff {
		return false
	}
	_, ok := callOf(f)
	return ok
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
	if schema := s.schemas[f.Site]; schema != nil && c.kind == protoMessage {
		m.takes = schema.Takes(f.Path.Raw)
		m.decoder = protobuf.NewDecoder(schema, int(s.limit))
	}
	if !c.framed && m.takes == nil {
		m.decoder = protobuf.NewDecoder(nil, 0)
	}
	return m
}

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

// feed returns what tells the rules a request of whose body only the portion is told.
func (p portion) feed(s *Stage, f *flow.Facts) func(*seclang.Transaction) {
	return func(tx *seclang.Transaction) {
		if p.json != nil {
			s.feed(tx, f, p.json)
			return
		}
		p.feedTexts(tx, f)
	}
}

func (p portion) feedTexts(tx *seclang.Transaction, f *flow.Facts) {
	defer tx.Finish()
	if _, refused := feedHead(tx, f); refused {
		return
	}
	arguments := make([]seclang.Argument, len(p.texts))
	for i, t := range p.texts {
		arguments[i] = seclang.Argument{Name: "protobuf." + t.Name, Value: t.Value}
	}
	if !tx.RequestArguments(arguments, p.problem).Refuses() {
		tx.RequestEnd()
	}
}

// inspectPart takes a portion of a body through the rules, under the head of its request.
func (s *Stage) inspectPart(f *flow.Facts, mode policy.WAFMode, p portion) flow.Verdict {
	start := s.start(f, mode, p.size)
	start.Observer = s.observer()
	tx := s.rules.New(start)
	defer tx.Close()
	p.feed(s, f)(tx)
	s.charge(f, tx)
	return s.verdict(tx, mode)
}
