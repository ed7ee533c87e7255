package cache

import (
	"testing"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

func TestPurge(t *testing.T) {
	for _, c := range []struct {
		purge Purge
		gone  []string
	}{
		{Purge{}, []string{"/a", "/a?x=1", "/ab", "/b", "other"}},
		{Purge{Target: "/a"}, []string{"/a", "other"}},
		{Purge{Host: "shop.example", Target: "/a"}, []string{"/a"}},
		{Purge{Host: "shop.example", Target: "/a?x=1"}, []string{"/a?x=1"}},
		{Purge{Host: "shop.example", Target: "/a", Prefix: true}, []string{"/a", "/a?x=1", "/ab"}},
		{Purge{Tag: "even"}, []string{"/ab", "/a?x=1"}},
		{Purge{Tag: "even", Target: "/ab"}, []string{"/ab"}},
		{Purge{Tag: "nobody's"}, nil},
		{Purge{Host: "nobody.example"}, nil},
	} {
		s := newSite(t, "")
		s.answer = func(ex wire.Exchange) flow.Reason {
			tag := "odd, odder"
			if n := len(ex.Request().Target); n == 3 || n == 6 {
				tag = "all, even"
			}
			ex.Respond(200, headerOf("Cache-Control: max-age=60", "Cache-Tag: "+tag), 0)
			ex.End(flow.Header{})
			return ""
		}
		visitors := map[string]func() *visitor{"other": func() *visitor { return get("/a", "Host: OTHER.example.:8080") }}
		for _, target := range []string{"/a", "/a?x=1", "/ab", "/b"} {
			visitors[target] = func() *visitor { return get(target) }
		}
		for _, v := range visitors {
			s.serve(v())
		}
		if n, err := s.cache.Purge(c.purge); n != len(c.gone) || err != nil {
			t.Errorf("%+v: %d purged, %v", c.purge, n, err)
		}
		gone := map[string]bool{}
		for _, g := range c.gone {
			gone[g] = true
		}
		for name, v := range visitors {
			if hit := s.serve(v()).Cache == flow.CacheHit; hit == gone[name] {
				t.Errorf("%+v: %s is there: %v", c.purge, name, hit)
			}
		}
	}
}

func TestWhatIsFetchedDuringAPurgeIsNotStored(t *testing.T) {
	s := newSite(t, "")
	s.answer = func(ex wire.Exchange) flow.Reason {
		ex.Respond(200, headerOf("Cache-Control: max-age=60"), 3)
		s.cache.Purge(Purge{Target: "/a"})
		ex.Write([]byte("old"))
		ex.End(flow.Header{})
		return ""
	}
	s.want(get("/a"), flow.CacheMiss, 200, "old")
	s.want(get("/a"), flow.CacheMiss, 200, "old")
}
