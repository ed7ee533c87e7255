package unpack

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// packedIn packs text in many ways: with blocks of all kinds, flushed now and then, in two members.
func packedIn(coding string, level int, text []byte, r *rand.Rand) []byte {
	var b bytes.Buffer
	type writer interface {
		io.WriteCloser
		Flush() error
	}
	open := func() (w writer) {
		switch coding {
		case "gzip":
			w, _ = stdgzip.NewWriterLevel(&b, level)
		default:
			w, _ = stdzlib.NewWriterLevel(&b, level)
		}
		return w
	}
	w := open()
	for len(text) > 0 {
		n := 1 + r.IntN(len(text))
		w.Write(text[:n])
		text = text[n:]
		if r.IntN(3) == 0 {
			w.Flush()
		}
		if coding == "gzip" && r.IntN(4) == 0 {
			w.Close()
			w = open()
		}
	}
	w.Close()
	return b.Bytes()
}

// unfolds is all that a program can make of the first bytes of a body.
func unfolds(coding string, packed []byte) int {
	var r io.Reader
	var err error
	in := bytes.NewReader(packed)
	switch coding {
	case "gzip":
		r, err = stdgzip.NewReader(in)
	default:
		r, err = stdzlib.NewReader(in)
	}
	if err != nil {
		return 0
	}
	n, _ := io.Copy(io.Discard, r)
	return int(n)
}

// What is given of a packed body unfolds to nothing that was not judged, and in the end all of it is given.
func TestStreamGivesNoMoreThanWasJudged(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := ordinary(1 + r.IntN(150_000))
		if seed%3 == 0 { // what hardly packs
			for i := range text {
				text[i] = byte(r.IntN(256))
			}
		}
		if seed%7 == 0 { // what packs best
			clear(text)
		}
		coding := []string{"gzip", "zlib"}[seed%2]
		packed := packedIn(coding, []int{0, 1, 6, 9, stdflate.HuffmanOnly}[seed%5], text, r)
		s := NewStream(map[string]string{"gzip": "gzip", "zlib": "deflate"}[coding], packed[:0:0],
			iotest.HalfReader(bytes.NewReader(packed)), 1<<20, Limits{Bytes: 1 << 20, Ratio: 2000})
		var plain, given []byte
		judged := 0
		for end := false; !end || judged < len(plain); {
			some := make([]byte, 1+r.IntN(9000))
			if !end {
				n, err := s.Read(some)
				plain = append(plain, some[:n]...)
				if end = err == io.EOF; err != nil && !end {
					t.Fatalf("seed %d: %v %v", seed, err, s.wrong)
				}
			}
			judged += r.IntN(len(plain) - judged + 1)
			before := len(given)
			given = append(given, some[:s.Take(some, int64(judged))]...)
			if len(given) == before && r.IntN(10) > 0 {
				continue
			}
			if n := unfolds(coding, given); n > judged {
				t.Fatalf("seed %d: %d bytes of %d were given, which unfold to %d, when %d were judged", seed, len(given), len(packed), n, judged)
			}
		}
		for n := -1; n != 0; {
			some := make([]byte, 9000)
			n = s.Take(some, int64(judged))
			given = append(given, some[:n]...)
		}
		if !bytes.Equal(plain, text) || !bytes.Equal(given, packed) {
			t.Errorf("seed %d: %d of %d bytes came out, %d of %d were given", seed, len(plain), len(text), len(given), len(packed))
		}
	}
}

// A stream says why it cannot go on, and Rest gives what was not taken.
func TestStreamEnds(t *testing.T) {
	gone := errors.New("gone")
	text := ordinary(60_000)
	packed := pack(t, "gzip", text)
	empty := append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 100_000)...)
	for name, c := range map[string]struct {
		coding  string
		src     io.Reader
		limits  Limits
		err     error
		outcome Outcome
	}{
		"whole":               {"gzip", bytes.NewReader(packed), Limits{}, nil, Whole},
		"cut off":             {"gzip", bytes.NewReader(packed[:len(packed)-3]), Limits{}, ErrUnpack, Malformed},
		"something behind it": {"gzip", bytes.NewReader(append(bytes.Clone(packed), 'x')), Limits{}, ErrUnpack, Malformed},
		"too large":           {"gzip", bytes.NewReader(packed), Limits{Bytes: 50_000}, ErrUnpack, TooLarge},
		"too dense":           {"gzip", bytes.NewReader(pack(t, "gzip", make([]byte, 1<<20))), Limits{}, ErrUnpack, TooDense},
		"of nothing":          {"gzip", bytes.NewReader(empty), Limits{}, ErrUnpack, Malformed},
		"no zlib":             {"deflate", bytes.NewReader(pack(t, "raw deflate", text)), Limits{}, ErrUnpack, Malformed},
		"zlib or not":         {"deflate", bytes.NewReader([]byte("\x78\x01\x00\xfe\xff and so on")), Limits{}, ErrUnpack, Malformed},
		"nonsense":            {"deflate", bytes.NewReader([]byte("\xffnonsense")), Limits{}, ErrUnpack, Malformed},
		"a break":             {"gzip", io.MultiReader(bytes.NewReader(packed[:9000]), iotest.ErrReader(gone)), Limits{}, gone, Whole},
	} {
		s := NewStream(c.coding, nil, iotest.DataErrReader(c.src), 128<<10, c.limits)
		_, err := io.Copy(io.Discard, s)
		if err != c.err || s.wrong != c.outcome {
			t.Errorf("%s: %v, %v", name, err, s.wrong)
		}
		if len(s.packed)-s.from > 150<<10 {
			t.Errorf("%s: %d bytes are held", name, len(s.packed)-s.from)
		}
	}
	for _, codings := range []string{"", "br", "zstd", "gzip, gzip", "lzma"} {
		if NewStream(codings, nil, bytes.NewReader(nil), 1, Limits{}) != nil {
			t.Errorf("%q is unpacked as it comes", codings)
		}
	}
	s := NewStream("gzip", bytes.Clone(packed[:100]), bytes.NewReader(packed[100:]), 128<<10, Limits{Bytes: 20_000})
	io.Copy(io.Discard, s)
	some := make([]byte, 500)
	rest, err := io.ReadAll(io.MultiReader(bytes.NewReader(some[:s.Take(some, 10_000)]), s.Rest()))
	if err != nil || !bytes.Equal(rest, packed) {
		t.Errorf("%d of %d bytes in all, %v", len(rest), len(packed), err)
	}
	s = NewStream("gzip", nil, io.MultiReader(bytes.NewReader(packed[:9000]), iotest.ErrReader(gone)), 128<<10, Limits{})
	io.Copy(io.Discard, s)
	if rest, err = io.ReadAll(s.Rest()); err != gone || !bytes.Equal(rest, packed[:9000]) {
		t.Errorf("%d bytes before %v", len(rest), err)
	}
}

// FuzzStream holds what is given of any body to what a program makes of it.
func FuzzStream(f *testing.F) {
	for i, coding := range []string{"gzip", "deflate"} {
		f.Add(i == 0, pack(f, coding, ordinary(500)), uint16(100), uint16(7))
	}
	f.Add(false, []byte("x\x9c28000000000\x0500000000\x050"), uint16(93), uint16(91)) // asks for a checksum with the last of the text
	f.Add(false, append([]byte{1, 4, 0, 0xfb, 0xff}, "text"...), uint16(3), uint16(1))
	f.Fuzz(func(t *testing.T, zipped bool, packed []byte, judged, part uint16) {
		coding := "deflate"
		if zipped {
			coding = "gzip"
		}
		s := NewStream(coding, nil, iotest.OneByteReader(bytes.NewReader(packed)), 128<<10, Limits{Bytes: 1 << 20})
		var plain, given []byte
		some := make([]byte, 1+int(part))
		for {
			n, err := s.Read(some)
			plain = append(plain, some[:n]...)
			given = append(given, some[:s.Take(some, int64(min(len(plain), int(judged))))]...)
			if err != nil {
				break
			}
		}
		if n := unfolds(coding, given); n > int(judged) || !bytes.HasPrefix(packed, given) {
			t.Errorf("%x of %x was given, which unfolds to %d bytes; %d were judged", given, packed, n, judged)
		}
	})
}
