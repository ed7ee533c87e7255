package cache

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
)

func TestAPurgeSaysWhenTheFilesStay(t *testing.T) {
	for _, p := range []Purge{{}, {Tag: "tag/a"}} {
		dir := folder(t)
		files := &faulty{left: -1}
		s := diskSite(t, dir, files)
		s.leave("/a")
		said := 0
		s.cache.tier.o.Failed = func(error) { said++ }
		files.fails = syscall.EROFS
		for range 2 { // each is told, the second during the pause, too
			_, done := s.cache.purge(p)
			s.settle()
			if err := <-done; !errors.Is(err, errLeft) {
				t.Errorf("%+v: %v", p, err)
			}
		}
		s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
		if said != 1 {
			t.Errorf("%+v: said %d times", p, said)
		}
		files.fails = nil
		s.purge(p) // goes through at once
		s.end()
		if _, err := s.cache.Purge(p); !errors.Is(err, ErrUnwritten) || !errors.Is(err, errClosed) {
			t.Errorf("%+v after the end: %v", p, err)
		}
		s = diskSite(t, dir, &faulty{left: -1})
		s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
		s.end()
	}
}

func TestPurgesOfAFolderThatIsNeverOpenedAreBounded(t *testing.T) {
	s := newSite(t, "")
	s.cache = New(Options{Memory: 1 << 20, MaxObject: 1 << 20, Disk: Disk{Dir: folder(t), Size: 64 << 20}})
	tier := s.cache.tier
	tier.noted = notesMost - 500 // as if thousands had come
	for range 100 {
		tier.purge(Purge{Tag: "x"})
	}
	if _, done := tier.purge(Purge{Tag: "x"}); len(done) != 1 || len(tier.orders) > 10 {
		t.Errorf("%d purges wait", len(tier.orders))
	}
}

// TestWhatIsPurgedWhileItIsFoundIsNotPutBack purges a large stale answer between the read of its head and that of the rest.
func TestWhatIsPurgedWhileItIsFoundIsNotPutBack(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) { // so that no read is late
		files := &faulty{left: -1}
		s := diskSite(t, dir, files)
		defer s.end()
		s.leave("/large/stale")
		purged := false
		files.reads = func() {
			files.reads = nil
			purged = true
			s.purge(Purge{Target: "/large/stale"})
		}
		s.serve(get("/large/stale", "Cache-Control: only-if-cached"))
		if e := s.stored("/large/stale"); e != nil || !purged {
			t.Errorf("purged: %v, and in memory again: %v", purged, e != nil)
		}
	})
}

// TestAnswersToCookiesEndWithTheRule: what was stored only because ignore_cookies was on is nobody's when it is off.
func TestAnswersToCookiesEndWithTheRule(t *testing.T) {
	dir := folder(t)
	s := diskSite(t, dir, &faulty{left: -1})
	answer := s.answer
	s.rules = &Rules{AnyCookies: true}
	s.says(200, "hello alice", "Cache-Control: max-age=3600", `ETag: "1"`)
	for range 3 {
		s.serve(get("/p", "Cookie: session=alice"))
	}
	s.want(get("/p"), flow.CacheHit, 200, "hello alice")
	s.serve(get("/q"))
	s.want(get("/q", "Cookie: session=bob"), flow.CacheHit, 200, "hello alice")
	s.rules = &Rules{}
	s.says(200, "hello", "Cache-Control: max-age=3600")
	s.want(get("/q"), flow.CacheHit, 200, "hello alice") // was asked for without
	if e := s.stored("/p"); e == nil || e.serves(asked{}, flow.Header{}) || !e.freshened(&arriving{arrived: time.Now()}, s.rules).cookied {
		t.Errorf("%+v", e)
	}
	s.cache.tier.close(s.cache.store.proven)

	s = diskSite(t, dir, &faulty{left: -1})
	defer s.end()
	s.answer = answer
	s.want(get("/q"), flow.CacheHit, 200, "hello alice")
	s.want(get("/p"), flow.CacheMiss, 200, pageOf("/p"))
	s.want(get("/p"), flow.CacheHit, 200, pageOf("/p"))
}

// stored is the latest entry in memory for a target, nil for none.
func (s *site) stored(target string) *entry {
	w := &walk{}
	w.begin(s.cache, get(target), &flow.Outcome{Facts: flow.Facts{Site: "shop"}}, s.rules, nil)
	for _, e := range w.c.store.find(w.hash, w.key).entries() {
		return e
	}
	return nil
}
