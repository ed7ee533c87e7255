package waf

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"stormdoor/flow"
	"stormdoor/seclang"
)

// feed tells the rules the request, as far as they want to know it.
func (s *Stage) feed(tx *seclang.Transaction, f *flow.Facts, body []byte) {
	defer tx.Finish()
	typed, refused := feedHead(tx, f)
	if refused {
		return
	}
	if !typed {
		body = withoutNUL(body)
	}
	s.tellQuery(tx, f)
	if len(body) > 0 && hasLines(f) && !isPacked(f) && tx.WantsRequestBody() {
		tx.RequestArguments(linesOf(body), "")
		tx.RequestEnd()
		return
	}
	if len(body) > 0 && tx.WantsRequestBody() && tx.RequestBody(body).Refuses() {
		return
	}
	tx.RequestEnd()
}

// feedPiece is feed of a request of whose body only a piece is told.
func feedPiece(tx *seclang.Transaction, f *flow.Facts, piece seclang.Piece) {
	defer tx.Finish()
	typed, refused := feedHead(tx, f)
	if refused {
		return
	}
	if !typed {
		piece = piece.With(withoutNUL)
	}
	if !tx.RequestPiece(piece).Refuses() {
		tx.RequestEnd()
	}
}

// feedHead tells the rules the head of the request. typed says that it tells the type of its body.
func feedHead(tx *seclang.Transaction, f *flow.Facts) (typed, refused bool) {
	tx.Connection(netip.AddrPortFrom(f.Client, 0), netip.AddrPort{})
	target := f.Path.Raw
	if f.Query != "" {
		target += "?" + f.Query
	}
	tx.RequestLine(f.Method, target, protocol(f.Proto))
	tx.ServerName(f.Host)
	host := false
	for i := range f.Header.Len() {
		h := f.Header.At(i)
		host = host || flow.EqualFold(h.Name, "Host")
		typed = typed || flow.EqualFold(h.Name, "Content-Type")
		tx.RequestHeader(h.Name, h.Value)
	}
	if !host && f.Host != "" { // HTTP/2 says it in :authority, and a log has no fields
		tx.RequestHeader("Host", f.Host)
	}
	return typed, tx.RequestHeadersEnd().Refuses()
}

// withoutNUL is a body whose type is not told without its NUL bytes: in bytes, and in a text of two or four bytes a
// character, they are no attack, and must hide none. It is the body itself where it has none.
func withoutNUL(body []byte) []byte {
	if bytes.IndexByte(body, 0) < 0 {
		return body
	}
	return bytes.ReplaceAll(body, []byte{0}, nil)
}

// protocol is the version as rules write it.
func protocol(p flow.Proto) string {
	switch p {
	case flow.HTTP2:
		return "HTTP/2.0"
	case flow.HTTP3:
		return "HTTP/3.0"
	}
	return p.String()
}

// findings copies what matched, for the transaction's strings end with it.
func (s *Stage) findings(f *flow.Facts, tx *seclang.Transaction) *flow.Findings {
	var out *flow.Findings
	for _, m := range tx.Matches() {
		if !m.Rule.Log {
			continue
		}
		if out == nil {
			out = &flow.Findings{Score: number(tx, "blocking_inbound_anomaly_score"), Threshold: number(tx, "inbound_anomaly_score_threshold")}
		}
		if len(out.Matches) == flow.MaxFindings {
			out.More++
			continue
		}
		out.Matches = append(out.Matches, s.finding(f, &m))
	}
	return out
}

// doesNotCount is written behind the message of a match that scores nothing, before the reason.
const doesNotCount = " (does not count: "

func (s *Stage) finding(of *flow.Facts, m *seclang.Match) flow.Finding {
	f := flow.Finding{Rule: m.Rule.ID, Message: strings.Clone(m.Message)}
	switch {
	case m.Doubted && m.Excused && s.excludes(of, m):
		f.Message += doesNotCount + "excluded)"
	case m.Doubted && m.Excused:
		f.Message += doesNotCount + "declared)"
	case m.Doubted:
		f.Message += doesNotCount + "the value reads as text)"
	}
	if len(m.Values) == 0 {
		return f
	}
	v := m.Values[0]
	f.Field = strings.Clone(v.Variable)
	if v.Key != "" {
		f.Field += ":" + clip(v.Key, 0)
	}
	f.Value = clip(v.Value, v.Start)
	return f
}

// clip is a copy of the part of a value that begins a little before the place.
func clip(s string, at int) string {
	if len(s) <= flow.MaxFindingValue {
		return strings.Clone(s)
	}
	at = min(max(0, at-flow.MaxFindingValue/4), len(s)-flow.MaxFindingValue)
	return strings.Clone(s[at : at+flow.MaxFindingValue])
}

func number(tx *seclang.Transaction, name string) int {
	text, _ := tx.TX(name)
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0 // a rule set without anomaly scores
	}
	return n
}
