package stormdoor

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"stormdoor/internal/gate/waf"
	"stormdoor/policy"
)

// NanosPerWork is about what a unit of the firewall's work takes on a processor of today, in nanoseconds (1 to 3): the firewall itself
// never looks at a clock.
const NanosPerWork = 1

// String writes the inspection for a person.
func (in Inspection) String() string {
	var b strings.Builder
	line := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, a...)...)
	}
	if in.ID != "" {
		line("request", "%s at %s", in.ID, in.Time.UTC().Format(time.RFC3339))
	}
	asked := in.Method + " " + in.Host + in.Path
	if in.Query != "" {
		asked += "?" + in.Query
	}
	line("asked", "%s", printable(asked, 200))
	if in.Unread != "" {
		line("result", "refused with %d before the firewall: %s", in.Status, in.Unread)
		return b.String()
	}
	where := in.Site
	if in.Route != "" {
		where += ", route " + in.Route
	}
	line("site", "%s: the firewall is set to %s", where, in.Mode)
	if in.Length > 0 {
		line("body", "%s", in.bodyText())
	}
	if in.OpenAPI != nil {
		line("openapi", "%s", in.conformityText())
	}
	if len(in.Matches) == 0 && in.Mode != policy.WAFOff {
		line("rules", "none matched")
	}
	for i := range in.Matches {
		writeMatch(&b, &in.Matches[i])
	}
	if in.Forgotten {
		line("note", "bodies, cookies and credentials are not kept: what was found there is told as the log has it")
	}
	if in.Threshold > 0 {
		line("score", "%s", in.scoreText())
	}
	line("result", "%s", in.resultText())
	if in.Work > 0 {
		line("cost", "%s units of work, about %s; it would be given up at %s. %d bytes in %d fields", thousands(in.Work), workTime(in.Work), thousands(in.Most), in.Bytes, in.Fields)
	}
	return b.String()
}

func (in *Inspection) conformityText() string {
	x := in.OpenAPI
	out := fmt.Sprintf("set to %s: ", x.Mode)
	switch {
	case x.Operation == "" && x.Field == "":
		return out + "the document has the path"
	case x.Operation == "":
		out += "no operation of the document"
	default:
		out += "operation " + x.Operation
	}
	if x.Field == "" {
		return out + ", which it conforms to"
	}
	return out + fmt.Sprintf("; %s: expected %s, there is %q", printable(x.Field, 200), printable(x.Expected, 300), printable(x.Value, 100))
}

func (in *Inspection) bodyText() string {
	switch {
	case in.Streamed:
		return fmt.Sprintf("%d bytes of a type that is never inspected", in.Length)
	case in.Body < in.Length && in.Refused && in.Body > 0:
		return fmt.Sprintf("%d of %d bytes were inspected until something was found", in.Body, in.Length)
	case in.Body < in.Length:
		return fmt.Sprintf("the first %d of %d bytes are inspected (waf.inspect_body)", in.Body, in.Length)
	}
	return fmt.Sprintf("%d bytes, all inspected", in.Length)
}

func (in *Inspection) scoreText() string {
	out := fmt.Sprintf("%d, and %d refuses", in.Score, in.Threshold)
	for i, s := range in.Scores {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		out += fmt.Sprintf("%s%s %d", sep, s.Class, s.Score)
	}
	return out
}

func (in *Inspection) resultText() string {
	if !in.Refused {
		return "nothing against it"
	}
	out := fmt.Sprintf("refused with %d", in.Status)
	if in.Noted {
		out = fmt.Sprintf("only noted; in mode block it would be refused with %d", in.Status)
	}
	out += fmt.Sprintf(" (%s)", in.Reason)
	if in.By != "" && !strings.HasPrefix(string(in.Reason), "openapi.") {
		out += ", the heaviest rule is " + in.By
	}
	return out
}

func writeMatch(b *strings.Builder, m *waf.Matched) {
	said := m.Message
	switch {
	case m.Why != "":
		said += "; does not count: " + m.Why
	case m.Score > 0:
		said += fmt.Sprintf("; scores %d", m.Score)
	}
	fmt.Fprintf(b, "%-9d %s\n", m.Rule, printable(said, 300))
	about := strings.Join(nonEmpty(strings.ToLower(m.Severity), m.Class, level(m.Paranoia)), ", ")
	if m.File != "" {
		about = strings.Join(nonEmpty(about, fmt.Sprintf("%s:%d", m.File, m.Line)), ", ")
	}
	if about != "" {
		fmt.Fprintf(b, "%-9s %s\n", "", about)
	}
	for i := range m.Values {
		writeValue(b, &m.Values[i])
	}
}

func level(paranoia int) string {
	if paranoia == 0 {
		return ""
	}
	return fmt.Sprintf("paranoia level %d", paranoia)
}

func writeValue(b *strings.Builder, v *waf.MatchedValue) {
	head := v.Field
	if v.Operator != "" {
		head += " by " + v.Operator
	}
	if len(v.Transformations) > 0 {
		head += " after " + strings.Join(v.Transformations, ", ")
	}
	fmt.Fprintf(b, "%-9s   %s\n", "", printable(head, 300))
	if v.Sent != "" && v.Sent != v.Value {
		at := v.SentAt
		if at < 0 {
			fmt.Fprintf(b, "%-9s     sent %s\n", "", printable(v.Sent, 100))
		} else {
			mark(b, "sent", v.Sent, at, at+v.End-v.Start)
		}
	}
	mark(b, "seen", v.Value, v.Start, v.End)
}

// mark writes a value with a line below it that shows the bytes from start to end, where there are any.
func mark(b *strings.Builder, name, value string, start, end int) {
	const before, most = 40, 60
	if end <= start {
		fmt.Fprintf(b, "%-9s     %s %s\n", "", name, printable(value, 100))
		return
	}
	from, to := max(0, start-before), min(len(value), max(end, start)+before)
	left, right := "", ""
	if from > 0 {
		left = "…"
	}
	if to < len(value) {
		right = "…"
	}
	lead, found := left+printable(value[from:start], 2*before), printable(value[start:end], most)
	fmt.Fprintf(b, "%-9s     %s %s%s%s%s\n", "", name, lead, found, printable(value[end:to], 2*before), right)
	fmt.Fprintf(b, "%-9s     %*s %s%s bytes %d to %d of %d\n", "", len(name), "", strings.Repeat(" ", utf8.RuneCountInString(lead)),
		strings.Repeat("^", max(1, utf8.RuneCountInString(found))), start, end, len(value))
}

// printable is a text that cannot act on a terminal, cut behind most bytes.
func printable(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= 0x202a && r <= 0x202e:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

// workTime is about what units of work take.
func workTime(units int64) string {
	return (time.Duration(units * NanosPerWork)).Round(time.Microsecond).String()
}

func nonEmpty(words ...string) (out []string) {
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}
