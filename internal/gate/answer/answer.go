// Package answer answers "what does a refused visitor read?": a true status, when to come back, and a page for people or
// a problem document for programs. Everything but the reference id and the wait is rendered when the policy is loaded,
// so that a refusal costs less than a page.
package answer

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

//go:embed page.html
var builtinPage string

//go:embed problem.json
var builtinProblem string

// maxPage is the largest page or problem document in bytes. A refusal must stay cheaper than what it refuses.
const maxPage = 4 << 10

// Quota is the limit that was exceeded, for the RateLimit fields (draft-ietf-httpapi-ratelimit-headers).
type Quota struct {
	Name   string
	Amount int64 // per Window, in the limit's unit
	Window time.Duration
}

// Refusal is what is said to one visitor.
type Refusal struct {
	Reason flow.Reason
	// Status is the true status; 0 stands for the reason's usual one.
	Status int
	ID     flow.RequestID
	// RetryIn is when the visitor may come back; 0 for no promise.
	RetryIn time.Duration
	// Ahead is how many visitors stand before this one; 0 when nobody knows. It is rounded, and told only together with RetryIn.
	Ahead int
	// Quota is set when a limit refused.
	Quota *Quota
	// Field and Expected say what is wrong with the request and what would have been right, to programs; "" for nothing.
	Field, Expected string
	// Close asks that the connection be closed after the answer.
	Close bool
}

// Answers holds the rendered refusals of one policy. It is immutable and safe for concurrent use.
type Answers struct {
	page, problem map[flow.Reason]*rendered
}

// rendered is one document in three forms: without a time to wait, with one, and with how many stand before, too.
type rendered [3]pieces

// pieces is a document cut at the places where the reference id and the wait go.
type pieces struct {
	text []string
	hole []hole // hole[i] stands between text[i] and text[i+1]
}

type hole uint8

const (
	holeID hole = iota
	holeWait
	holeAhead
)

// The sentinels stand for what differs from visitor to visitor while a template is rendered. They survive HTML and
// JSON escaping as they are.
const (
	sentinelID    = "0000stormdoorid0"
	sentinelWait  = 987654321
	sentinelAhead = 987654322
)

// values are what a template can use.
type values struct {
	Status                               int
	StatusText, Title, Text, Advice      string
	Reason, ID, Contact, ContactURL, URL string
	RetrySeconds                         int
	Ahead                                int  // how many visitors stand before this one, 0 when that is not known
	Again                                bool // the page comes back by itself after RetrySeconds
}

// New renders the refusals. Its errors name the template file and what is wrong with it.
func New(r policy.Refusals) (*Answers, error) {
	page, pageErr := pages(r)
	problem, problemErr := problems(r)
	if err := errors.Join(policy.At("refusals.page", pageErr), policy.At("refusals.problem", problemErr)); err != nil {
		return nil, err
	}
	return &Answers{page: page, problem: problem}, nil
}

// pages renders the page for people, once for each reason.
func pages(r policy.Refusals) (map[flow.Reason]*rendered, error) {
	text, err := source(r.Page, builtinPage, "refusals.page")
	if err != nil {
		return nil, err
	}
	t, err := template.New(name(r.Page)).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("refusals.page %s is not a template: %w", r.Page, err)
	}
	all := map[flow.Reason]*rendered{}
	for _, w := range words {
		if all[w.reason], err = render(t, w, r); err != nil {
			return nil, fmt.Errorf("refusals.page %s: %w", r.Page, err)
		}
	}
	return all, nil
}

// problems renders the document for programs, once for each reason.
func problems(r policy.Refusals) (map[flow.Reason]*rendered, error) {
	text, err := source(r.Problem, builtinProblem, "refusals.problem")
	if err != nil {
		return nil, err
	}
	t, err := texttemplate.New(name(r.Problem)).Funcs(texttemplate.FuncMap{"json": quote}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("refusals.problem %s is not a template: %w", r.Problem, err)
	}
	all := map[flow.Reason]*rendered{}
	for _, w := range words {
		if all[w.reason], err = render(t, w, r); err != nil {
			return nil, fmt.Errorf("refusals.problem %s: %w", r.Problem, err)
		}
		if doc := all[w.reason][0].fill(flow.RequestID{}, 0, 0); !json.Valid([]byte(doc)) {
			return nil, fmt.Errorf("refusals.problem %s does not render to JSON for reason %s; use {{json .Title}} for texts", r.Problem, w.reason)
		}
	}
	return all, nil
}

func name(file string) string {
	if file == "" {
		return "built-in"
	}
	return file
}

func source(file, builtin, field string) (string, error) {
	if file == "" {
		return builtin, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w; correct the path or leave the field out for the built-in one", field, err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return "", fmt.Errorf("%s: %s is empty; leave the field out for the built-in one", field, file)
	}
	return string(b), nil
}

func quote(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

type executor interface {
	Execute(w io.Writer, data any) error
}

// render executes the template t (of either package) for one wording.
func render(t executor, w wording, r policy.Refusals) (*rendered, error) {
	var out rendered
	for i, form := range [len(out)]struct{ wait, ahead int }{{}, {wait: sentinelWait}, {sentinelWait, sentinelAhead}} {
		v := values{Status: w.status, StatusText: statusText(w.status), Title: w.title, Text: w.text, Advice: w.advice,
			Reason: string(w.reason), ID: sentinelID, Contact: r.Contact, ContactURL: contactURL(r.Contact), URL: r.StatusURL, RetrySeconds: form.wait, Ahead: form.ahead, Again: comesBack(w.reason)}
		var b bytes.Buffer
		if err := t.Execute(&b, v); err != nil {
			return nil, err
		}
		if b.Len() > maxPage {
			return nil, fmt.Errorf("it renders to %d bytes, and a refusal may have at most %d: a refusal must stay cheaper than a page", b.Len(), maxPage)
		}
		out[i] = cut(b.String())
	}
	return &out, nil
}

func contactURL(contact string) string {
	if contact != "" && !strings.Contains(contact, "://") {
		return "mailto:" + contact
	}
	return contact
}

// holes are the places to be filled in, by what stands there meanwhile.
var holes = [...]struct {
	sentinel string
	hole     hole
}{{sentinelID, holeID}, {strconv.Itoa(sentinelWait), holeWait}, {strconv.Itoa(sentinelAhead), holeAhead}}

func cut(s string) pieces {
	var p pieces
	for {
		next, at := -1, len(s)
		for i := range holes {
			if j := strings.Index(s, holes[i].sentinel); j >= 0 && j < at {
				next, at = i, j
			}
		}
		p.text = append(p.text, s[:at])
		if next < 0 {
			return p
		}
		p.hole, s = append(p.hole, holes[next].hole), s[at+len(holes[next].sentinel):]
	}
}

func (p *pieces) fill(id flow.RequestID, wait, ahead int) string {
	var b strings.Builder
	b.Grow(maxPage / 2)
	for i, t := range p.text {
		b.WriteString(t)
		if i < len(p.hole) {
			switch p.hole[i] {
			case holeID:
				b.WriteString(id.String())
			case holeWait:
				b.WriteString(strconv.Itoa(wait))
			case holeAhead:
				b.WriteString(strconv.Itoa(about(ahead)))
			}
		}
	}
	return b.String()
}

// about rounds a number to two digits, because nobody knows the others.
func about(n int) int {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

// Status is the status with which a reason is answered when nobody says otherwise.
func Status(reason flow.Reason) int {
	for i := range words {
		if words[i].reason == reason {
			return words[i].status
		}
	}
	return 500
}

// Mark adds the fields of every refusal: the reason, and the reference that the visitor can quote.
func Mark(h *flow.Header, reason flow.Reason, id flow.RequestID) {
	h.Add("Stormdoor-Reason", string(reason))
	h.Add("Stormdoor-Request-Id", id.String())
}

// Write answers ex with the refusal, whole, and reports the status sent and the bytes of the body. After an error the
// visitor is gone.
func (a *Answers) Write(ex wire.Exchange, r Refusal) (status int, n int64, err error) {
	req := ex.Request()
	docs, kind := a.problem, "application/problem+json"
	if wantsPage(req) {
		docs, kind = a.page, "text/html; charset=utf-8"
	}
	doc := docs[r.Reason]
	if doc == nil {
		doc = docs[flow.DoorFault]
	}
	status = r.Status
	if status == 0 {
		status = Status(r.Reason)
	}
	wait := retrySeconds(r, status)
	form := &doc[0]
	switch {
	case wait > 0 && r.Ahead > 0:
		form = &doc[2]
	case wait > 0:
		form = &doc[1]
	}
	body := form.fill(r.ID, wait, r.Ahead)
	if r.Field != "" && kind[0] == 'a' {
		body = withError(body, r.Field, r.Expected)
	}
	h := flow.NewHeader(8)
	h.Add("Content-Type", kind)
	h.Add("Cache-Control", "no-store")
	Mark(&h, r.Reason, r.ID)
	if kind[0] == 't' {
		h.Add("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	}
	if wait > 0 {
		h.Add("Retry-After", strconv.Itoa(wait))
	}
	if r.Quota != nil {
		addRateLimit(&h, r.Quota, wait)
	}
	if status == 405 && r.Field != "" { // RFC 9110, section 15.5.6
		h.Add("Allow", r.Expected)
	}
	if r.Close {
		ex.CloseAfter()
	}
	if err := ex.Respond(status, h, int64(len(body))); err != nil {
		return status, 0, err
	}
	if req.Method != "HEAD" {
		k, err := ex.Write([]byte(body))
		if err != nil {
			return status, int64(k), err
		}
		n = int64(k)
	}
	return status, n, ex.End(flow.Header{})
}

// withError adds what is wrong with the request to a problem document, as RFC 9457, section 3, does.
func withError(doc, field, expected string) string {
	at := strings.LastIndexByte(doc, '}')
	f, errField := quote(field)
	e, errExpected := quote("expected " + expected)
	if at < 0 || errField != nil || errExpected != nil || strings.TrimSpace(doc[:at]) == "{" {
		return doc
	}
	return doc[:at] + `,"errors":[{"field":` + f + `,"detail":` + e + `}]` + doc[at:]
}

// addRateLimit writes both RateLimit fields as structured fields (RFC 9651): the policy's quota and window, what is left
// and when it comes back.
func addRateLimit(h *flow.Header, q *Quota, wait int) {
	name := sfString(q.Name)
	window := max(1, int64((q.Window+time.Second-1)/time.Second))
	h.Add("RateLimit-Policy", name+";q="+strconv.FormatInt(q.Amount, 10)+";w="+strconv.FormatInt(window, 10))
	h.Add("RateLimit", name+";r=0;t="+strconv.Itoa(wait))
}

// sfString writes s as a structured-field string; what such a string cannot hold becomes "_".
func sfString(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c > 0x7e:
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// retrySeconds is the wait in whole seconds, lengthened by up to a quarter and at least by up to 2 s, so that refused
// clients do not come back in one wave. The reference id, which is random, is the source of the jitter.
func retrySeconds(r Refusal, status int) int {
	wait := r.RetryIn
	if wait == 0 {
		if status != 503 && status != 502 && status != 504 && status != 429 {
			return 0
		}
		wait = 3 * time.Second
	}
	base := int((wait + time.Second - 1) / time.Second)
	spread := max(3, base/4+1)
	return base + (int(r.ID[8])<<8|int(r.ID[9]))%spread
}

// wantsPage reports whether a person is likely to look at the answer: a browser that navigates, rather than a program or
// a script on a page.
func wantsPage(r *wire.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
