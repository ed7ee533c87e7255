package origin

import "testing"

// The buffer grows only with what the visitor has taken, and shrinks when the origin trickles.
func TestCopyBufferFollowsTheStream(t *testing.T) {
	b := copyBuffer{from: &buffers{}}
	defer b.put()
	if n := len(b.take(10 << 20)); n != mediumBuffer {
		t.Errorf("a large body begins with %d bytes, want %d", n, mediumBuffer)
	}
	buf := b.take(-1)
	for _, step := range []struct {
		name string
		n    int // bytes of the read before, 0 for a full one
		want int
	}{
		{"a full read", 0, mediumBuffer},
		{"another one", 0, mediumBuffer},
		{"a short one", 5000, mediumBuffer},
		{"a trickle", 10, smallBuffer},
		{"full again", 0, mediumBuffer},
	} {
		if step.n == 0 {
			step.n = len(buf)
		}
		if buf = b.next(step.n); len(buf) != step.want {
			t.Errorf("after %s the buffer has %d bytes, want %d", step.name, len(buf), step.want)
		}
	}
	for b.passed < flowing {
		buf = b.next(len(buf))
	}
	if len(buf) != largeBuffer {
		t.Errorf("a visitor who took %d bytes gets %d bytes at once, want %d", b.passed, len(buf), largeBuffer)
	}
}
