package reactor

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The wheel looks at a connection after its deadline and not more than a slot late, as a plain list of deadlines says.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		conns := make([]*Conn, 8)
		for i := range conns {
			conns[i] = &Conn{}
		}
		due := map[*Conn]int64{}
		now := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				c := rapid.SampledFrom(conns).Draw(t, "conn")
				by := now + rapid.Int64Range(-int64(time.Second), int64(time.Minute)).Draw(t, "by")
				w.set(c, by)
				due[c] = max(by, now)
			},
			"remove": func(t *rapid.T) {
				c := rapid.SampledFrom(conns).Draw(t, "conn")
				w.remove(c)
				delete(due, c)
			},
			"advance": func(t *rapid.T) {
				now += rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "by")
				w.advance(now, func(c *Conn) {
					switch by, ok := due[c]; {
					case !ok:
						t.Fatal("looked at one that was taken out")
					case by > now:
						w.set(c, by)
					default:
						delete(due, c)
					}
				})
				for _, by := range due {
					if by <= now-2*int64(slotWidth) {
						t.Fatalf("due at %d, and not looked at by %d", by, now)
					}
				}
			},
			"": func(t *rapid.T) {
				if w.n != len(due) {
					t.Fatalf("%d are in the wheel, want %d", w.n, len(due))
				}
			},
		})
	})
}
