package waf

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// longer is a kind of body that may be of any length.
type longer struct {
	name, contentType string
	before, after     string // of the whole
	item              string // what it is made of, over and over; %s is a value
}

var longBodies = []longer{
	{"form", "application/x-www-form-urlencoded", "a=1", "&z=1", "&text=%s"},
	{"text", "text/plain", "", "", "%s "},
	{"JSON", "application/json", `{"shop":{"items":[0`, `]},"end":true}`, `,{"name":"%s","price":1.5}`},
	{"XML", "application/xml", "<shop><items>", "</items></shop>", `<item kind="x">%s</item>`},
	{"multipart", "multipart/form-data; boundary=frontier", "", "--frontier--\r\n", "--frontier\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n%s\r\n"},
}

// body is a body of about size bytes, with the value behind about at of them.
func (l *longer) body(size, at int, value string) string {
	var b strings.Builder
	b.WriteString(l.before)
	put := func(to int) {
		for b.Len() < to {
			fmt.Fprintf(&b, l.item, fmt.Sprintf("door+%d+is+open", b.Len()*7919%100_003))
		}
	}
	put(at)
	fmt.Fprintf(&b, l.item, value)
	put(size)
	return b.String() + l.after
}

// attack is one as it is written in bodies of the kind.
func (l *longer) attack() string {
	if l.contentType == "application/x-www-form-urlencoded" {
		return strings.TrimPrefix(injection, "id=")
	}
	return "1' UNION SELECT password FROM users--"
}

const small = 4 << 10 // bytes that are inspected at once, here

func followed(t testing.TB, mode policy.WAFMode) *Stage {
	return stage(t, mode, func(p *policy.Policy) { p.WAF.InspectBody = small })
}

// read inspects a body that arrives in pieces of all sizes, and reads it as one who sends it on does.
func read(t testing.TB, s *Stage, f *flow.Facts, body io.Reader) (v flow.Verdict, got string, err error) {
	t.Helper()
	v, held := s.Inspect(f, body)
	defer held.Release()
	if v.Sure() {
		return v, "", nil
	}
	b, err := io.ReadAll(held.Reader())
	if late, ok := held.Late(); ok {
		late.Work += v.Work
		v = late
	}
	return v, string(b), err
}

// ragged gives a body in pieces of random sizes.
type ragged struct{ io.Reader }

func (r ragged) Read(p []byte) (int, error) { return r.Reader.Read(p[:1+rand.IntN(len(p))]) }

func long(l *longer, body string) *flow.Facts {
	f := facts("POST", "/comment", "", "Content-Type", l.contentType)
	f.Length = int64(len(body))
	return f
}

func TestTheRestOfALongBodyIsInspected(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	for i := range longBodies {
		l := &longBodies[i]
		for _, at := range []int{small - 20, 2 * small, 5*small + 100, 20 * small} {
			body := l.body(8*small, at, l.attack())
			v, got, err := read(t, s, long(l, body), ragged{strings.NewReader(body)})
			if v.Action != flow.Refuse || v.Reason != flow.WAFScore || !strings.HasPrefix(v.Rule, "942") || v.Found == nil {
				t.Errorf("%s: an attack behind %d bytes: %+v, %v", l.name, at, v, err)
			}
			if len(got) >= at+len(l.attack()) || !strings.HasPrefix(body, got) || at < 8*small && !errors.Is(err, errRefused) {
				t.Errorf("%s: %d bytes of a body went on whose attack stands behind %d (%v)", l.name, len(got), at, err)
			}
		}
	}
}

func TestALongBodyGoesOnAsItCame(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	for i := range longBodies {
		l := &longBodies[i]
		for _, size := range []int{small, small + 1, 2*small + 1, 12 * small} {
			body := l.body(size, 0, "harmless")
			for name, r := range map[string]io.Reader{"ragged": ragged{strings.NewReader(body)}, "at once": strings.NewReader(body), "byte by byte": iotest.OneByteReader(strings.NewReader(body)), "the end with the data": iotest.DataErrReader(strings.NewReader(body))} {
				if v, got, err := read(t, s, long(l, body), r); v.Action != flow.Continue || got != body || err != nil {
					t.Errorf("%s of %d bytes, %s: %d came, %v, %+v %+v", l.name, len(body), name, len(got), err, v, v.Found)
				}
			}
		}
	}
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

// Where rules only count, the first finding is noted and the body goes on; where the firewall inspects beginnings only, all of it does.
func TestTheRestIsOnlyNotedWhereRulesCount(t *testing.T) {
	l := &longBodies[2]
	body := l.body(8*small, 3*small, l.attack())
	v, got, err := read(t, followed(t, policy.WAFCounts), long(l, body), strings.NewReader(body))
	if !v.Dry || v.Action != flow.Refuse || v.Reason != flow.WAFScore || got != body || err != nil {
		t.Errorf("count: %+v, %d of %d bytes, %v", v, len(got), len(body), err)
	}
	prefix := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody, p.WAF.OverBody = small, policy.OverPrefix })
	if v, got, err = read(t, prefix, long(l, body), strings.NewReader(body)); v.Action != flow.Continue || got != body || err != nil {
		t.Errorf("prefix: %+v, %d of %d bytes, %v", v, len(got), len(body), err)
	}
}

// A file of any size passes, whatever stands in it, and the fields behind it are inspected.
func TestFieldsBehindAFileAreInspected(t *testing.T) {
	const part = "--b\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n%s\r\n"
	s := followed(t, policy.WAFBlocks)
	l := &longer{contentType: "multipart/form-data; boundary=b"}
	for value, refused := range map[string]bool{"a door": false, "1' UNION SELECT password FROM users--": true} {
		body := fmt.Sprintf(part, "file", `; filename="page.html"`, strings.Repeat("<script>alert(1)</script>\n", 10_000)) + fmt.Sprintf(part, "text", "", value) + "--b--\r\n"
		v, got, err := read(t, s, long(l, body), ragged{strings.NewReader(body)})
		if refused != v.Sure() || refused != errors.Is(err, errRefused) || !refused && got != body {
			t.Errorf("%q: %+v, %d of %d bytes, %v", value, v, len(got), len(body), err)
		}
		if refused && len(got) < 200_000 {
			t.Errorf("only %d bytes of the file went on before the field was there", len(got))
		}
	}
}

// A visitor who breaks off in the rest is no finding, and whoever sends the body on sees the same error.
func TestABreakInTheRestPassesItsError(t *testing.T) {
	gone := errors.New("gone")
	l := &longBodies[0]
	body := l.body(3*small, 0, "x")
	f := long(l, body+"and more")
	v, got, err := read(t, followed(t, policy.WAFBlocks), f, io.MultiReader(strings.NewReader(body), iotest.ErrReader(gone)))
	if v.Sure() || !errors.Is(err, gone) || len(got) < small || !strings.HasPrefix(body, got) {
		t.Errorf("%+v, %d bytes, %v", v, len(got), err)
	}
}

// A value that is longer than what is inspected at once is inspected from its first byte on, although no token has ended.
func TestTheBeginningOfALongValueIsInspected(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	for contentType, body := range map[string]string{
		"application/json":                  `"1' UNION SELECT password FROM users--` + strings.Repeat("A", 3*small) + `"`,
		"application/xml":                   `<a x="1' UNION SELECT password FROM users--" y="` + strings.Repeat("A", 3*small) + `"/>`,
		"application/x-www-form-urlencoded": injection + strings.Repeat("A", 3*small),
	} {
		l := &longer{contentType: contentType}
		if v, got, _ := read(t, s, long(l, body), strings.NewReader(body)); v.Action != flow.Refuse || got != "" {
			t.Errorf("%s: %+v, %d bytes went on", contentType, v, len(got))
		}
	}
}

// What a document says of its encoding is heard where only its beginning is inspected, too.
func TestABeginningInAnotherEncodingIsRefused(t *testing.T) {
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody, p.WAF.OverBody = small, policy.OverPrefix })
	body := `<?xml version="1.0" encoding = "UTF-7"?><a>+ACc- UNI+AE8-N` + strings.Repeat(" x", small) + "</a>"
	f := facts("POST", "/", "", "Content-Type", "text/xml")
	f.Length = int64(len(body))
	if v, _, _ := read(t, s, f, strings.NewReader(body)); v.Action != flow.Refuse {
		t.Errorf("%+v", v)
	}
}

// A body that no rule set takes apart is seen as it is, to its end.
func TestALongRawBodyIsInspected(t *testing.T) {
	own, no := filepath.Join(t.TempDir(), "raw.conf"), false
	const rules = `SecAction "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=RAW"` + "\n" + `SecRule REQUEST_BODY "@contains needle" "id:2,phase:2,deny,status:403"`
	if err := os.WriteFile(own, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.InspectBody, p.WAF.Files, p.WAF.CoreRuleSet = small, []string{own}, &no })
	for _, at := range []int{0, small - 3, 5 * small} {
		body := strings.Repeat("hay ", at/4) + "needle" + strings.Repeat(" hay", small)
		f := facts("POST", "/", "", "Content-Type", "application/x-hay")
		f.Length = int64(len(body))
		if v, got, _ := read(t, s, f, strings.NewReader(body)); v.Action != flow.Refuse || v.Rule != "2" || len(got) > at {
			t.Errorf("behind %d bytes: %+v, %d bytes went on", at, v, len(got))
		}
	}
}

// A stage that fails refuses what it had to judge, and lets it go where rules only count.
func TestAFailureInTheRestRefuses(t *testing.T) {
	for _, mode := range []policy.WAFMode{policy.WAFBlocks, policy.WAFCounts} {
		r := &follower{stage: followed(t, mode), mode: mode, cut: new(seclang.Cutter), src: strings.NewReader("the rest"), window: make([]byte, 0, small)}
		got, err := io.ReadAll(r)
		v, _ := (&Held{followed: r}).Late()
		if counts := mode == policy.WAFCounts; v.Reason != flow.StageFailed || v.Dry != counts || counts != (string(got) == "the rest" && err == nil) {
			t.Errorf("%s: %+v, %q, %v", mode, v, got, err)
		}
	}
}

// Examine tells of a long body what Inspect and its reader come to.
func TestExamineFollowsALongBody(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	for i := range longBodies {
		l := &longBodies[i]
		body := l.body(8*small, 3*small, l.attack())
		x := s.Examine(long(l, body), []byte(body))
		if x.Verdict.Action != flow.Refuse || x.Score < 5 || len(x.Matches) == 0 || x.Body <= 2*small || x.Body > 6*small {
			t.Errorf("%s: %+v, score %d, %d matches, %d of %d bytes", l.name, x.Verdict, x.Score, len(x.Matches), x.Body, len(body))
		}
		good := l.body(8*small, 0, "x")
		if x = s.Examine(long(l, good), []byte(good)); x.Verdict.Action != flow.Continue || x.Body != len(good) {
			t.Errorf("%s: %+v, %d of %d bytes", l.name, x.Verdict, x.Body, len(good))
		}
	}
}

// Pieces of long bodies wait for their own turn first: a request that is judged whole has at most one of them before it.
func TestPiecesTakeTurns(t *testing.T) {
	turns := newTurns(1)
	turns.piece()
	took := make(chan bool)
	go func() {
		turns.piece()
		took <- true
		turns.pieceDone()
	}()
	select {
	case <-took:
		t.Fatal("two pieces are judged at once")
	default:
	}
	turns.pieceDone()
	<-took
	turns.request() // both have given their turns back
	turns.done()
}
