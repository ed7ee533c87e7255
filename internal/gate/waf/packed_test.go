package waf

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"

	"stormdoor/flow"
	"stormdoor/policy"
)

// packed packs a body; level is gzip's.
func packed(t testing.TB, coding string, level int, body string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch coding {
	case "gzip":
		w, err = gzip.NewWriterLevel(&b, level)
	case "deflate":
		w, err = zlib.NewWriterLevel(&b, level)
	case "br":
		w = brotli.NewWriterLevel(&b, 0)
	}
	if err == nil {
		_, err = io.WriteString(w, body)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func packedFacts(l *longer, coding, body string) *flow.Facts {
	f := facts("POST", "/comment", "", "Content-Type", l.contentType, "Content-Encoding", coding)
	f.Length = int64(len(body))
	return f
}

// isForm says that the body, as it came, may be another form to a program that does not unpack it.
func (l *longer) isForm() bool { return l.name == "form" || l.name == "multipart" }

// What a packed body holds is inspected to its end, whether it is long as it was sent or only unpacked, and of the packed bytes none go on
// that unfold to what was refused.
func TestTheRestOfALongPackedBodyIsInspected(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	for _, coding := range []string{"gzip", "deflate"} {
		for level := range 2 { // stored, packed
			for i := range longBodies {
				l := &longBodies[i]
				if l.isForm() {
					continue
				}
				for _, at := range []int{small - 20, 20 * small} {
					plain := l.body(12*small, at, l.attack())
					body := packed(t, coding, level, plain)
					f := packedFacts(l, coding, body)
					v, got, err := read(t, s, f, ragged{strings.NewReader(body)})
					if v.Action != flow.Refuse || v.Reason != flow.WAFScore || !strings.HasPrefix(v.Rule, "942") {
						t.Errorf("%s in %s (%d), an attack behind %d bytes: %+v, %v", l.name, coding, level, at, v, err)
					}
					if !strings.HasPrefix(body, got) || got != "" && strings.Contains(unpacked(coding, got), l.attack()) {
						t.Errorf("%s in %s (%d): %d of %d bytes went on, and with them the attack behind %d", l.name, coding, level, len(got), len(body), at)
					}
					if x := s.Examine(f, []byte(body)); x.Verdict.Action != flow.Refuse || x.Length != len(plain) {
						t.Errorf("%s in %s (%d), examined: %+v, of %d bytes", l.name, coding, level, x.Verdict, x.Length)
					}
				}
				plain := l.body(12*small, 0, "harmless")
				body := packed(t, coding, level, plain)
				f := packedFacts(l, coding, body)
				for name, r := range map[string]io.Reader{"ragged": ragged{strings.NewReader(body)}, "the end with the data": iotest.DataErrReader(strings.NewReader(body))} {
					if v, got, err := read(t, s, f, r); v.Action != flow.Continue || got != body || err != nil {
						t.Errorf("%s in %s (%d), %s: %d of %d bytes went on, %v, %+v", l.name, coding, level, name, len(got), len(body), err, v)
					}
				}
				if x := s.Examine(f, []byte(body)); x.Verdict.Action != flow.Continue || x.Body != len(plain) {
					t.Errorf("%s in %s (%d), examined: %+v, %d of %d bytes", l.name, coding, level, x.Verdict, x.Body, len(plain))
				}
			}
		}
	}
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

// unpacked is what a program makes of the beginning of a packed body.
func unpacked(coding, body string) string {
	var r io.Reader
	var err error
	if r, err = gzip.NewReader(strings.NewReader(body)); coding == "deflate" {
		r, err = zlib.NewReader(strings.NewReader(body))
	}
	if err != nil {
		return ""
	}
	b, _ := io.ReadAll(r)
	return string(b)
}

// What cannot be unpacked as it comes is refused where it is long, and so is what cannot be unpacked at all; where rules only count, it goes on.
func TestALongPackedBodyThatCannotBeReadIsRefused(t *testing.T) {
	blocks, counts := followed(t, policy.WAFBlocks), followed(t, policy.WAFCounts)
	l := &longBodies[2]
	for name, c := range map[string]struct{ coding, body string }{
		"a form":           {"gzip", packed(t, "gzip", 0, l.body(9*small, 0, "x"))},
		"another coding":   {"br", packed(t, "br", 0, l.body(60*small, 0, "x"))},
		"two codings":      {"gzip, gzip", packed(t, "gzip", 0, packed(t, "gzip", 0, l.body(2*small, 0, "x")))},
		"nonsense":         {"gzip", strings.Repeat("nonsense", small)},
		"broken":           {"gzip", packed(t, "gzip", 0, l.body(9*small, 0, "x"))[:5*small] + strings.Repeat("nonsense", small)},
		"something behind": {"gzip", packed(t, "gzip", 0, l.body(9*small, 0, "x")) + "x"},
		"cut off":          {"deflate", packed(t, "deflate", 1, l.body(40*small, 0, "x"))[:small+500]},
		"too dense":        {"gzip", packed(t, "gzip", 9, l.body(9*small, 0, strings.Repeat(" ", 2<<20)))},
		"too large":        {"gzip", packed(t, "gzip", 1, l.body((unfoldMost+1)*small, 0, "x"))},
	} {
		f := packedFacts(l, c.coding, c.body)
		if name == "a form" {
			f.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		v, got, err := read(t, blocks, f, ragged{strings.NewReader(c.body)})
		if !v.Sure() || v.Reason != flow.WAFBody && v.Rule == "" || got == c.body {
			t.Errorf("%s: %+v, %d of %d bytes, %v", name, v, len(got), len(c.body), err)
		}
		if x := blocks.Examine(f, []byte(c.body)); !x.Verdict.Sure() {
			t.Errorf("%s, examined: %+v", name, x.Verdict)
		}
		if v, got, err = read(t, counts, f, ragged{strings.NewReader(c.body)}); v.Action != flow.Refuse || !v.Dry || got != c.body || err != nil {
			t.Errorf("%s, counted: %+v, %d of %d bytes, %v", name, v, len(got), len(c.body), err)
		}
		if x := counts.Examine(f, []byte(c.body)); x.Verdict.Action != flow.Refuse || !x.Verdict.Dry {
			t.Errorf("%s, examined where rules count: %+v", name, x.Verdict)
		}
	}
}

// Codings in two fields are one list: what is packed twice is not taken for text.
func TestCodingsInTwoFields(t *testing.T) {
	body := packed(t, "gzip", 6, packed(t, "gzip", 6, `{"id":"1' UNION SELECT password FROM users--"}`))
	f := facts("POST", "/", "", "Content-Type", "application/json", "Content-Encoding", "gzip", "Content-Encoding", "gzip")
	f.Length = int64(len(body))
	if v, _, _ := read(t, followed(t, policy.WAFBlocks), f, strings.NewReader(body)); v.Action != flow.Refuse || v.Reason != flow.WAFScore {
		t.Errorf("%+v", v)
	}
}

// A visitor who breaks off is no finding.
func TestABreakInAPackedBodyPassesItsError(t *testing.T) {
	gone := errors.New("gone")
	l := &longBodies[2]
	body := packed(t, "gzip", 0, l.body(9*small, 0, "x"))
	for _, at := range []int{small + 10, 6 * small} {
		s := followed(t, policy.WAFBlocks)
		v, held := s.Inspect(packedFacts(l, "gzip", body), io.MultiReader(strings.NewReader(body[:at]), iotest.ErrReader(gone)))
		if v.Action != flow.Continue {
			t.Errorf("%+v", v)
		}
		if got, err := io.ReadAll(held.Reader()); !errors.Is(err, gone) || !strings.HasPrefix(body, string(got)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		held.Release()
	}
}

// What unpacking takes is in the account of held bodies until the body has ended, and where there is no room, the sender may come again.
func TestPackedBodiesAreBounded(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	l := &longBodies[2]
	body := packed(t, "gzip", 0, l.body(9*small, 0, "x"))
	s.held.Store(mayHold(1<<20) - 2*small)
	if v, _, _ := read(t, s, packedFacts(l, "gzip", body), strings.NewReader(body)); v.Reason != flow.WAFFull || v.RetryIn != retryFull {
		t.Errorf("%+v", v)
	}
	s.held.Store(0)
	v, held := s.Inspect(packedFacts(l, "gzip", body), strings.NewReader(body))
	begun := s.held.Load()
	if got, err := io.ReadAll(held.Reader()); v.Action != flow.Continue || string(got) != body || err != nil {
		t.Errorf("%+v, %d of %d bytes, %v", v, len(got), len(body), err)
	}
	if n := s.held.Load(); begun < 3*small || n >= 3*small || n == 0 {
		t.Errorf("%d bytes were held at first, and %d when the body had ended", begun, n)
	}
	held.Release()
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

// Around the bound between what is judged whole and what is cut, good bodies pass.
func TestPackedBodiesAtTheBound(t *testing.T) {
	s := followed(t, policy.WAFBlocks)
	for size := small - 2; size < small+3; size++ {
		for level := range 2 {
			plain := `["door 1 is open",` + strings.Repeat(" ", size-20) + `1]`
			plain = plain[:1] + plain[1:size-2] + "1]"
			body := packed(t, "gzip", level, plain)
			f := packedFacts(&longBodies[2], "gzip", body)
			if v, got, err := read(t, s, f, strings.NewReader(body)); v.Action != flow.Continue || got != body || err != nil {
				t.Errorf("%d bytes (%d): %+v, %v", len(plain), level, v, err)
			}
			if x := s.Examine(f, []byte(body)); x.Verdict.Action != flow.Continue {
				t.Errorf("%d bytes (%d), examined: %+v", len(plain), level, x.Verdict)
			}
		}
	}
}

// Programs that know no Content-Encoding in requests read the bytes as they came: those must not hold an attack that unpacking turns into
// something harmless. Here it stands in a comment of gzip's header; it could stand anywhere, so no packed form is judged by what it unfolds to.
func TestPackedBodiesAreReadAsTheyCame(t *testing.T) {
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) {})
	const part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
	for name, c := range map[string]struct {
		contentType, plain, comment string
		refused                     bool
	}{
		"a form within a form":            {"application/x-www-form-urlencoded", "a=b", "&id=1' union select password from users-- -&", true},
		"a form with a comment":           {"application/x-www-form-urlencoded", "a=b", "written today", true},
		"parts within parts":              {"multipart/form-data; boundary=b", part + "b\r\n--b--\r\n", "\r\n" + part + "1' union select password from users-- -\r\n--b--\r\n", true},
		"parts with a comment":            {"multipart/form-data; boundary=b", part + "b\r\n--b--\r\n", "written today", false},
		"a document that is never a form": {"application/json", `{"a":"b"}`, "&id=1' union select password from users-- -&", false},
	} {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Comment = c.comment
		io.WriteString(w, c.plain)
		w.Close()
		f := packedFacts(&longer{contentType: c.contentType}, "gzip", b.String())
		if v, _, _ := read(t, s, f, &b); c.refused != v.Sure() {
			t.Errorf("%s: %+v", name, v)
		}
	}
	// A body that is deflate without a header, and JSON.
	f := packedFacts(&longer{contentType: "application/json"}, "deflate", `{"a":"b"}`)
	if v, _, _ := read(t, s, f, strings.NewReader(`{"a":"b"}`)); !v.Sure() {
		t.Errorf("JSON that is called deflate: %+v", v)
	}
}

// With the bounds that a door has, of bodies that hardly pack and are cut into small pieces, too.
func TestLongPackedBodiesGoOn(t *testing.T) {
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) {})
	for i := range longBodies {
		l := &longBodies[i]
		if l.isForm() {
			continue
		}
		body := packed(t, "gzip", 0, l.body(400<<10, 0, "x"))
		if v, got, err := read(t, s, packedFacts(l, "gzip", body), strings.NewReader(body)); v.Action != flow.Continue || got != body || err != nil {
			t.Errorf("%s: %+v, %d of %d bytes, %v", l.name, v, len(got), len(body), err)
		}
	}
}
