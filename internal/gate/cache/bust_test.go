package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// paged is an origin whose answers depend on page and q, and on nothing else.
func paged(fields ...string) func(ex wire.Exchange) flow.Reason {
	return func(ex wire.Exchange) flow.Reason {
		path, query, _ := strings.Cut(ex.Request().Target, "?")
		body := path + ":" + keepParams(query, func(n string) bool { return n != "page" && n != "q" })
		ex.Respond(200, headerOf(append(fields, "Cache-Control: max-age=60")...), int64(len(body)))
		ex.Write([]byte(body))
		ex.End(flow.Header{})
		return ""
	}
}

// reads lets a visitor ask for a target and reports whether he reads what the origin would have said.
func (s *site) reads(target, want string) bool {
	v := get(target)
	s.serve(v)
	return v.text() == want
}

// calm is what visitors ask of a path in calm times.
func (s *site) calm(path string) {
	for i := range 30 {
		s.reads(path, path+":")
		s.reads(fmt.Sprintf("%s?page=%d", path, i), "")
		s.reads(fmt.Sprintf("%s?q=%d&page=1", path, i%3), "")
		s.reads(fmt.Sprintf("%s?utm_source=%d", path, i), "")
		time.Sleep(300 * time.Millisecond)
	}
}

func TestCacheBusting(t *testing.T) {
	for name, busts := range map[string]func(r *rand.Rand) string{
		"made-up names":            func(r *rand.Rand) string { return fmt.Sprintf("%x=%x", r.Uint64(), r.Uint64()) },
		"made-up values":           func(r *rand.Rand) string { return fmt.Sprintf("cb=%x", r.Uint64()) },
		"a known name":             func(r *rand.Rand) string { return fmt.Sprintf("utm_source=%x", r.Uint64()) },
		"names that are repeated":  func(r *rand.Rand) string { return fmt.Sprintf("x%d=%x", r.IntN(500), r.Uint64()) },
		"a page and made-up names": func(r *rand.Rand) string { return fmt.Sprintf("page=1&%x=1", r.Uint64()) },
		"no names":                 func(r *rand.Rand) string { return fmt.Sprintf("%x", r.Uint64()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, "")
				s.answer = paged()
				for _, p := range []string{"/a", "/b", "/c"} {
					s.calm(p)
				}
				r := rand.New(rand.NewPCG(5, 6))
				before, flood, visitors, wrong := s.times(), 0, 0, 0
				for second := range 10 {
					for range 2000 {
						s.serve(get([]string{"/a", "/b", "/c"}[flood%3] + "?" + busts(r)))
						flood++
						time.Sleep(time.Second / 2000)
						if flood%100 == 0 {
							visitors += 3
							page := second*20 + flood/100%20
							for _, ok := range []bool{s.reads("/a", "/a:"), s.reads(fmt.Sprintf("/a?page=%d", page), fmt.Sprintf("/a:page=%d", page)), s.reads("/b?q=2&page=1", "/b:q=2&page=1")} {
								if !ok {
									wrong++
								}
							}
						}
					}
				}
				misses := s.times() - before
				t.Logf("%d requests of the flood and %d of visitors made %d misses; %d visitors read the wrong page", flood, visitors, misses, wrong)
				if wrong > 0 || misses > flood/20+visitors {
					t.Errorf("of %d visitors %d read the wrong page; %d misses", visitors, wrong, misses)
				}
			})
		})
	}
}

// TestCacheBustingFromTheFirstSecond has no calm time to learn from: the answers under the flood must do. How long that takes
// depends on the keys of the hash, which are drawn anew each time: mostly 100 ms, one time in thirty over a second.
func TestCacheBustingFromTheFirstSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = paged()
		r := rand.New(rand.NewPCG(7, 8))
		wrong := map[int]int{}
		for i := range 20_000 {
			s.serve(get(fmt.Sprintf("/a?%x=%x", r.Uint64(), r.Uint64())))
			time.Sleep(time.Second / 2000)
			if i%100 == 0 && !s.reads(fmt.Sprintf("/a?page=%d", i%7), fmt.Sprintf("/a:page=%d", i%7)) {
				wrong[i/2000]++
			}
		}
		t.Logf("%d misses; wrong pages by second: %v", s.times(), wrong)
		if s.times() > 1000 {
			t.Errorf("%d misses", s.times())
		}
		for second, n := range wrong {
			if second > 2 {
				t.Errorf("in second %d, %d visitors read the wrong page", second, n)
			}
		}
	})
}

func TestManyRealQueriesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = paged()
		for i := range 5000 { // a site that grows to 200 different searches a second
			if q := fmt.Sprintf("/a?q=%d", i); !s.reads(q, fmt.Sprintf("/a:q=%d", i)) {
				t.Fatalf("%s: the wrong page", q)
			}
			time.Sleep(time.Second / time.Duration(10+i/25))
		}
		if n := s.cache.bust.collapsed.Load(); n > 0 {
			t.Logf("%d addresses were collapsed", n)
		}
	})
}

func TestACrowdOnKnownPagesIsServedInAnyCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = paged()
		s.calm("/a")
		for i := range 3000 { // a sudden crowd that searches for three hundred different things a second
			if q := fmt.Sprintf("/a?q=new%d", i); !s.reads(q, fmt.Sprintf("/a:q=new%d", i)) {
				t.Fatalf("%s: the wrong page", q)
			}
			time.Sleep(time.Second / 300)
		}
	})
}

func TestAPageThatChangesWithTimeTeachesNothingWrong(t *testing.T) {
	b := newBusting()
	now := time.Unix(1_800_000_000, 0)
	for i := range 200 {
		b.learn(1, "/a", "/a", fmt.Sprintf("cb=%d", i), 0, uint64(i/50), now)
		b.learn(1, "/a", "/a", fmt.Sprintf("page=%d", i%3), 0, uint64(1000+i%3), now)
		now = now.Add(time.Second)
	}
	if _, kept, _ := b.collapse(1, "cb=7&page=2"); kept != "page=2" {
		t.Errorf("kept %q", kept)
	}
}

func TestTheUsualIsNotLearnedWhileItExplodes(t *testing.T) {
	b := newBusting()
	now := time.Unix(1_800_000_000, 0)
	b.learn(1, "/a", "/a", "", 0, 1, now)
	address := uint64(0)
	ask := func(n int) (exploded int) {
		for range n {
			address += 0x9e3779b97f4a7c15
			if e, _ := b.miss(1, address>>20, now, false); e {
				exploded++
			}
		}
		now = now.Add(time.Second)
		return exploded
	}
	for range 600 {
		if ask(5) > 0 {
			t.Fatal("five a second is not much")
		}
	}
	for range 6 * 3600 {
		if ask(100) == 0 {
			t.Fatal("six hours of attack made it usual")
		}
	}
	if r := b.find(1); r.usual > 6 {
		t.Errorf("the usual has become %.0f", r.usual)
	}
	now = now.Add(time.Minute)
	if ask(5) > 0 {
		t.Error("it explodes still")
	}
}

func TestWhileHotLessMakesAPathExplode(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, hot := range []bool{false, true} {
		b := newBusting()
		b.learn(1, "/a", "/a", "", 0, 1, now)
		n := uint64(0)
		for explodes := false; !explodes && n < 1000; n++ {
			explodes, _ = b.miss(1, n*0x9e3779b97f4a7c15>>20, now, hot)
		}
		if hot && n > 30 || !hot && n < 50 || n > 100 {
			t.Errorf("hot %v: it took %d addresses", hot, n)
		}
	}
}
