package wire

import (
	"io"
	"strings"
	"testing"
)

// spurts is a connection on which bytes come in spurts; waits counts the reads that might have blocked.
type spurts struct {
	come  []string
	waits int
}

func (s *spurts) Read(p []byte) (int, error) {
	s.waits++
	if len(s.come) == 0 {
		return 0, io.EOF
	}
	return s.take(p), nil
}

func (s *spurts) take(p []byte) int {
	n := copy(p, s.come[0])
	if s.come[0] = s.come[0][n:]; s.come[0] == "" {
		s.come = s.come[1:]
	}
	return n
}

// eager is one that can tell whether the next spurt has come.
type eager struct {
	spurts
	there bool
}

func (s *eager) More(p []byte) int {
	if !s.there || len(s.come) == 0 {
		return 0
	}
	return s.take(p)
}

// A body that began in the buffer of its head goes on in the same read when the rest has come, and waits for none of it.
func TestH1BodyReadsOn(t *testing.T) {
	const head, next = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", "HTTP/1.1 "
	body := strings.Repeat("0123456789", 1000)
	first := h1BlockSize - len(head) // what comes with the head
	for _, tc := range []struct {
		name        string
		there       bool
		come        []string
		buffer      int
		want, spare int // of the first read, and bytes behind the body
	}{
		{"the rest has come", true, []string{body}, 16 << 10, 10000, 0},
		{"with something behind it", true, []string{body + next}, 16 << 10, 10000, 1},
		{"into a buffer that it fills", true, []string{body}, 10000, 10000, 0},
		{"a part of the rest", true, []string{body[:6000], body[6000:]}, 16 << 10, 6000, 0},
		{"not yet", false, []string{body}, 16 << 10, first, 0},
		{"no room to speak of", true, []string{body}, first + 100, first, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := &eager{spurts{come: append([]string{head + tc.come[0]}, tc.come[1:]...)}, tc.there}
			in := h1Reader{src: src, blocks: &h1Blocks{}}
			if _, _, err := in.head(h1HeadRules{max: h1BlockSize}); err != nil {
				t.Fatal(err)
			}
			var f h1Framed
			f.reset(&in, h1Sized, 10000, h1BlockSize, 100)
			buf := make([]byte, tc.buffer)
			n, err := f.Read(buf)
			if err != nil || n != tc.want || src.waits != 1 || string(buf[:n]) != body[:n] {
				t.Fatalf("%d bytes, %v, after %d reads that may wait; want %d, of the body, after that of the head", n, err, src.waits, tc.want)
			}
			rest, err := io.ReadAll(&f)
			if err != nil || string(buf[:n])+string(rest) != body {
				t.Errorf("%d bytes in all, %v; want the body", n+len(rest), err)
			}
			if tc.spare != in.buffered() {
				t.Errorf("%d bytes behind the body, want %d", in.buffered(), tc.spare)
			}
		})
	}
}

// What has come of a chunk together with the head is known: nobody has to be sent the head alone because the next read might wait.
func TestH1BodyKnowsWhatHasCome(t *testing.T) {
	for come, want := range map[string]int64{
		"": 0, "5": 0, "5\r\n": 0, "5\r\nab": 2, "5\r\nabcde": 5, "5\r\nabcde\r\n0\r\n\r\n": 5, "5;x=y\r\nabcde\r\n": 5, "0\r\n\r\n": 0, "x\r\nabc": 0,
	} {
		in := h1Reader{src: strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + come), blocks: &h1Blocks{}}
		if _, _, err := in.head(h1HeadRules{max: h1BlockSize}); err != nil {
			t.Fatal(err)
		}
		var f h1Framed
		f.reset(&in, h1Chunked, -1, h1BlockSize, 100)
		if got := f.ready(); got != want {
			t.Errorf("behind the head %q: %d bytes are ready, want %d", come, got, want)
		}
	}
}
