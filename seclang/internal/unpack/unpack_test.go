package unpack

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// pack encodes text by one coding.
func pack(t testing.TB, coding string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriterLevel(&b, 5)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw deflate":
		w, err = flate.NewWriter(&b, 5)
	}
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// header is the Content-Encoding of what pack makes.
func header(coding string) string { return strings.TrimPrefix(coding, "raw ") }

var codings = []string{"gzip", "br", "zstd", "deflate", "raw deflate"}

// ordinary is a text that packs as texts do.
func ordinary(size int) []byte {
	var b bytes.Buffer
	for i := uint32(1); b.Len() < size; i = i*1664525 + 1013904223 {
		b.WriteString([]string{`{"id":`, `"name":`, "17,", "blue pen", "\n", "}", "ä"}[i>>16%7])
		b.WriteByte(byte('a' + i>>24%26))
	}
	return b.Bytes()[:size]
}

func TestUnpack(t *testing.T) {
	var u Unpacker
	defer u.Close()
	for range 2 { // the second time with the decoders of the first
		for _, coding := range codings {
			for _, size := range []int{0, 1, 5000, 300000} {
				text := ordinary(size)
				got, outcome := u.Unpack([]byte("x"), pack(t, coding, text), " "+strings.ToUpper(header(coding)), Limits{})
				if outcome != Whole || string(got) != "x"+string(text) {
					t.Errorf("%s, %d bytes: %v, %d bytes", coding, size, outcome, len(got))
				}
			}
		}
	}
	text := ordinary(5000)
	got, outcome := u.Unpack(nil, pack(t, "br", pack(t, "gzip", text)), "gzip, identity, br", Limits{})
	if outcome != Whole || !bytes.Equal(got, text) {
		t.Errorf("two codings: %v, %d bytes", outcome, len(got))
	}
	if got, outcome := u.Unpack(nil, text, "", Limits{}); outcome != Whole || !bytes.Equal(got, text) {
		t.Errorf("no coding: %v, %d bytes", outcome, len(got))
	}
}

func TestRefused(t *testing.T) {
	var u Unpacker
	defer u.Close()
	text := ordinary(5000)
	for _, c := range []struct {
		coding string
		want   Outcome
	}{{"compress", UnknownCoding}, {"gzip, sdch", UnknownCoding}, {"gzip,gzip,gzip", TooManyCodings}} {
		if got, outcome := u.Unpack(nil, text, c.coding, Limits{}); outcome != c.want || len(got) > 0 {
			t.Errorf("%s: %v, %d bytes", c.coding, outcome, len(got))
		}
	}
	for _, coding := range codings {
		packed := pack(t, coding, text)
		if got, outcome := u.Unpack(nil, packed, header(coding), Limits{Bytes: 1000}); outcome != TooLarge || !bytes.Equal(got, text[:1000]) {
			t.Errorf("%s too large: %v, %d bytes", coding, outcome, len(got))
		}
		bomb := pack(t, coding, make([]byte, 2<<20))
		if got, outcome := u.Unpack(nil, bomb, header(coding), Limits{Bytes: 64 << 20, Ratio: 10}); outcome != TooDense || len(got) != max(free, 10*len(bomb)) {
			t.Errorf("%s bomb of %d bytes: %v, %d bytes", coding, len(bomb), outcome, len(got))
		}
		if _, outcome := u.Unpack(nil, packed[:len(packed)-3], header(coding), Limits{}); outcome != Malformed {
			t.Errorf("%s cut off: %v", coding, outcome)
		}
		if _, outcome := u.Unpack(nil, append(slices.Clone(packed), "tail"...), header(coding), Limits{}); outcome != Malformed {
			t.Errorf("%s with a tail: %v", coding, outcome)
		}
		if _, outcome := u.Unpack(nil, []byte("\xffnonsense"), header(coding), Limits{}); outcome != Malformed {
			t.Errorf("%s nonsense: %v", coding, outcome)
		}
	}
	// The ratio is that of the body as it came, also of a bomb within a bomb.
	nested := pack(t, "gzip", pack(t, "gzip", make([]byte, 8<<20)))
	if got, outcome := u.Unpack(nil, nested, "gzip, gzip", Limits{Bytes: 64 << 20}); outcome != TooDense || len(got) > free {
		t.Errorf("nested bomb of %d bytes: %v, %d bytes", len(nested), outcome, len(got))
	}
}

func FuzzUnpack(f *testing.F) {
	for i, coding := range codings {
		f.Add(byte(i), pack(f, coding, ordinary(500)))
	}
	f.Fuzz(func(t *testing.T, which byte, packed []byte) {
		var u Unpacker
		defer u.Close()
		limits := Limits{Bytes: 100 << 10, Ratio: 3}
		coding := header(codings[int(which)%len(codings)])
		got, outcome := u.Unpack(nil, packed, coding, limits)
		if len(got) > limits.Bytes || len(got) > max(free, limits.Ratio*len(packed)) {
			t.Errorf("%s made %d bytes of %d", coding, len(got), len(packed))
		}
		if coding != "gzip" || outcome == TooLarge || outcome == TooDense {
			return
		}
		var want []byte // the twin
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err == nil {
			want, err = io.ReadAll(r)
		}
		if (err == nil) != (outcome == Whole) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("%x: %v, compress/gzip says %v", packed, outcome, err)
		}
	})
}

func BenchmarkUnpack(b *testing.B) {
	for _, coding := range codings {
		packed := pack(b, coding, ordinary(64<<10))
		b.Run(coding, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			var u Unpacker
			defer u.Close()
			dst := make([]byte, 0, 128<<10)
			for b.Loop() {
				u.Unpack(dst, packed, header(coding), Limits{})
			}
		})
	}
}
