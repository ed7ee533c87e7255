package observe

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"stormdoor/flow"
)

var linePool = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// maxField bounds what one request can write into one field of a log line, in bytes.
const maxField = 512

// appendJSON writes an outcome as one line of JSON. The names of the fields are part of the manual.
func appendJSON(b []byte, o *flow.Outcome) []byte {
	f := &o.Facts
	b = append(b, `{"time":"`...)
	b = f.Arrived.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","level":"`...)
	b = append(b, level(o)...)
	b = append(b, `","msg":"request","id":"`...)
	b = append(b, f.ID.String()...)
	b = append(b, '"')
	b = str(b, "site", f.Site)
	b = str(b, "route", f.Route)
	b = append(b, `,"client":"`...)
	b = f.Client.AppendTo(b)
	b = append(b, '"')
	if f.Peer != f.Client {
		b = append(b, `,"peer":"`...)
		b = f.Peer.AppendTo(b)
		b = append(b, '"')
	}
	b = str(b, "proto", f.Proto.String())
	b = str(b, "method", f.Method)
	b = str(b, "host", f.Host)
	b = str(b, "path", f.Path.Raw)
	b = str(b, "query", f.Query)
	b = num(b, "status", int64(o.Status))
	b = num(b, "bytes_in", o.BytesIn)
	b = num(b, "bytes_out", o.BytesOut)
	b = secs(b, "took", o.Took)
	if o.Waited > 0 {
		b = secs(b, "waited", o.Waited)
	}
	b = str(b, "cache", string(o.Cache))
	if o.Origin != "" {
		b = str(b, "origin", o.Origin)
		b = num(b, "origin_status", int64(o.OriginStatus))
		b = secs(b, "origin_time", o.OriginTime)
		b = num(b, "attempts", int64(o.Attempts))
	}
	if o.Priority != "" {
		b = str(b, "priority", o.Priority)
		b = num(b, "level", int64(o.Level))
	}
	b = verdict(b, "", o.Verdict, o.Stage)
	b = verdict(b, "dry_", o.Dry, o.DryStage)
	b = findings(b, o.Found)
	b = str(b, "end", string(o.End))
	b = str(b, "error", o.Err)
	b = str(b, "ja4", f.JA4)
	b = str(b, "country", f.Country)
	if f.Network != 0 {
		b = num(b, "network", int64(f.Network))
	}
	b = str(b, "user_agent", f.Header.Get("User-Agent"))
	b = str(b, "referer", f.Header.Get("Referer"))
	return append(b, '}', '\n')
}

// findings writes what an inspection found: the score, and each rule with where it matched.
func findings(b []byte, found *flow.Findings) []byte {
	if found == nil {
		return b
	}
	b = num(b, "waf_score", int64(found.Score))
	b = append(b, `,"waf":[`...)
	for i := range found.Matches {
		m := &found.Matches[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"rule_id":`...)
		b = strconv.AppendInt(b, int64(m.Rule), 10)
		b = str(b, "field", m.Field)
		b = str(b, "message", m.Message)
		b = str(b, "value", m.Value)
		b = append(b, '}')
	}
	b = append(b, ']')
	if found.More > 0 {
		b = num(b, "waf_more", int64(found.More))
	}
	return b
}

func verdict(b []byte, prefix string, v flow.Verdict, stage string) []byte {
	if v.Action == flow.Continue {
		return b
	}
	b = str(b, prefix+"action", v.Action.String())
	b = str(b, prefix+"reason", string(v.Reason))
	b = str(b, prefix+"rule", v.Rule)
	return str(b, prefix+"stage", stage)
}

func level(o *flow.Outcome) string {
	switch {
	case o.End != "" && o.End != flow.ClientGone:
		return "ERROR"
	case o.Verdict.Action >= flow.Challenge:
		return "WARN"
	}
	return "INFO"
}

// appendConsole writes an outcome for a person at a terminal.
func appendConsole(b []byte, o *flow.Outcome) []byte {
	f := &o.Facts
	b = f.Arrived.AppendFormat(b, "15:04:05.000 ")
	b = append(b, level(o)...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(o.Status), 10)
	b = append(b, ' ')
	b = escaped(b, f.Method)
	b = append(b, ' ')
	b = escaped(b, f.Host)
	b = escaped(b, f.Path.Raw)
	if f.Query != "" {
		b = append(b, '?')
		b = escaped(b, f.Query)
	}
	b = append(b, "  client "...)
	b = f.Client.AppendTo(b)
	b = append(b, "  took "...)
	b = append(b, o.Took.Round(10*time.Microsecond).String()...)
	if o.Verdict.Action >= flow.Challenge {
		b = append(b, "  "+o.Verdict.Action.String()+": "+string(o.Verdict.Reason)...)
		b = appendRule(b, o.Verdict.Rule)
	}
	if o.Dry.Action != flow.Continue {
		b = append(b, "  dry run, would "+o.Dry.Action.String()+": "+string(o.Dry.Reason)...)
		b = appendRule(b, o.Dry.Rule)
	}
	if o.End != "" {
		b = append(b, "  ended by "+string(o.End)...)
	}
	if o.Err != "" {
		b = append(b, "  ("...)
		b = escaped(b, o.Err)
		b = append(b, ')')
	}
	b = append(b, "  id "+f.ID.String()...)
	return append(b, '\n')
}

func appendRule(b []byte, rule string) []byte {
	if rule == "" {
		return b
	}
	b = append(b, " ("...)
	b = escaped(b, rule)
	return append(b, ')')
}

func num(b []byte, name string, n int64) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, n, 10)
}

// secs writes a length of time in seconds, to the microsecond.
func secs(b []byte, name string, d time.Duration) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendFloat(b, float64(d.Microseconds())/1e6, 'f', -1, 64)
}

// str writes a field unless it is empty.
func str(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '"')
	b = escaped(b, s)
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// escaped writes s for inside a JSON string, and so that no byte of it can act on a terminal: control characters,
// quotes and what is not UTF-8 are escaped. It cuts s at maxField.
func escaped(b []byte, s string) []byte {
	cut := len(s) > maxField
	if cut {
		s = s[:maxField]
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20 && c < 0x7f:
			b = append(b, c)
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\u202e' {
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	if cut {
		b = append(b, "…"...)
	}
	return b
}
