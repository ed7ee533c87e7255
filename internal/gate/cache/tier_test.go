package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/cache/disk"
	"stormdoor/internal/wire"
)

// faulty is the system's files with faults. It never waits for the disk itself.
type faulty struct {
	disk.System
	mu    sync.Mutex
	left  int           // operations until everything fails, as if the process had been killed; negative: for ever
	fails error         // of everything that writes; nil for nothing
	stuck chan struct{} // reads wait for it; nil for never
	reads func()        // is called before a read; nil for nothing
	open  []io.Closer
}

var errKilled = errors.New("killed")

func (f *faulty) operation(writes bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return errKilled
	}
	f.left--
	if writes {
		return f.fails
	}
	return nil
}

func (f *faulty) keep(c io.Closer) {
	f.mu.Lock()
	f.open = append(f.open, c)
	f.mu.Unlock()
}

// bury closes what the system closes when a process has been killed.
func (f *faulty) bury() {
	for _, c := range f.open {
		_ = c.Close()
	}
}

func (f *faulty) Lock(dir string) (io.Closer, error) {
	if err := f.operation(false); err != nil {
		return nil, err
	}
	c, err := f.System.Lock(dir)
	if err == nil {
		f.keep(c)
	}
	return c, err
}

func (f *faulty) file(open func(string) (disk.File, error), name string, writes bool) (disk.File, error) {
	if err := f.operation(writes); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err == nil {
		f.keep(file)
	}
	return faultyFile{file, f}, err
}

func (f *faulty) Create(name string) (disk.File, error) { return f.file(f.System.Create, name, true) }
func (f *faulty) Open(name string) (disk.File, error)   { return f.file(f.System.Open, name, false) }

func (f *faulty) Remove(name string) error {
	if err := f.operation(true); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return f.System.Remove(name)
}

type faultyFile struct {
	disk.File
	f *faulty
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.f.operation(true); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at) // torn
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f faultyFile) Truncate(n int64) error {
	if err := f.f.operation(false); err != nil {
		return err
	}
	return f.File.Truncate(n)
}

func (f *faulty) SyncDir(string) error { return f.operation(false) }

func (f faultyFile) Sync() error { return f.f.operation(false) }

func (f faultyFile) ReadAt(b []byte, at int64) (int, error) {
	if f.f.stuck != nil {
		<-f.f.stuck
	}
	if f.f.reads != nil {
		f.f.reads()
	}
	return f.File.ReadAt(b, at)
}

// folder is one of the test's own, whatever the user's umask is.
func folder(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// diskSite is a site whose cache has a disk, and little memory. Nothing runs: settle does what the writer would have done.
func diskSite(t *testing.T, dir string, files *faulty) *site {
	s := newSite(t, "")
	s.cache = New(Options{Memory: 4 << 20, MaxObject: 1 << 20, Disk: Disk{Dir: dir, Size: 64 << 20, Files: files, Failed: func(err error) { t.Log(err) }}})
	s.answer = func(ex wire.Exchange) flow.Reason {
		target := ex.Request().Target
		body := pageOf(target)
		fields := []string{"Cache-Control: public, max-age=3600", "Cache-Tag: tag" + target[:2], `ETag: "1"`, "Vary: X-Kind"}
		if strings.Contains(target, "/stale") {
			fields[0] = "Cache-Control: public, no-cache"
		}
		if ex.Request().Header.Has("If-None-Match") {
			ex.Respond(304, headerOf(fields...), -1)
		} else {
			ex.Respond(200, headerOf(fields...), int64(len(body)))
			ex.Write([]byte(body))
		}
		ex.End(flow.Header{})
		return ""
	}
	if err := s.cache.tier.begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.settle()
	return s
}

// pageOf is the body of a target: "/large…" is larger than what is read as a whole.
func pageOf(target string) string {
	n := 1000
	if strings.HasPrefix(target, "/large") {
		n = wholeMost + 70_000
	}
	return strings.Repeat(target+" ", n/(len(target)+1)+1)
}

// purge purges and does what the writer would have done.
func (s *site) purge(p Purge) (addresses int) {
	s.t.Helper()
	n, done := s.cache.purge(p)
	s.settle()
	if err := <-done; err != nil {
		s.t.Error(err)
	}
	return n
}

func (s *site) settle() {
	for s.cache.tier.step() {
	}
	s.cache.tier.settle()
}

// end closes the disk as a door does that ends.
func (s *site) end() { s.cache.tier.close(func(func(*resource) bool) {}) }

// leave puts what visitors asked for again out of memory and on disk.
func (s *site) leave(targets ...string) {
	s.t.Helper()
	for _, target := range targets {
		for range 3 {
			s.serve(get(target))
		}
	}
	s.flood()
	s.settle()
	for _, target := range targets {
		w := &walk{}
		w.begin(s.cache, get(target), &flow.Outcome{Facts: flow.Facts{Site: "shop"}}, s.rules, nil)
		if e, _ := w.find(); e != nil {
			s.t.Fatalf("%s is still in memory", target)
		}
	}
}

// flood fills memory with others.
func (s *site) flood() {
	c := s.cache
	for round := range 5 {
		for i := range 60 {
			key := fmt.Sprint("other ", round, " ", i)
			h := c.store.hash([]byte(key))
			e := plain(64 << 10)
			e.arrived = c.now().Add(-time.Hour) // of no use on disk
			c.store.put(h, key, e)
			for range 3 {
				c.store.find(h, []byte(key))
			}
		}
	}
}

func TestWhatMemoryGivesUpIsAnsweredFromDisk(t *testing.T) {
	s := diskSite(t, folder(t), &faulty{left: -1})
	defer s.end()
	s.leave("/a", "/large")
	n := s.times()
	o := s.want(get("/a"), flow.CacheHit, 200, pageOf("/a"))
	s.want(get("/a"), flow.CacheHit, 200, pageOf("/a")) // from memory again
	s.want(get("/large"), flow.CacheHit, 200, pageOf("/large"))
	if s.times() != n || o.BytesOut != int64(len(pageOf("/a"))) {
		t.Errorf("the origin was asked %d times more", s.times()-n)
	}
	if d := s.cache.Stats().Disk; d.Hits != 2 || d.Answers != 2 || d.Bytes == 0 || d.Failures != 0 {
		t.Errorf("%+v", d)
	}
	s.want(get("/a", "X-Kind: another"), flow.CacheMiss, 200, pageOf("/a"))
}

func TestLargeAnswersOnDisk(t *testing.T) {
	s := diskSite(t, folder(t), &faulty{left: -1})
	defer s.end()
	for i, c := range []struct {
		v      *visitor
		status int
		body   string
	}{
		{get("/large1", "Range: bytes=65530-65549"), 206, pageOf("/large1")[65530:65550]},
		{get("/large2", "Range: bytes=-5"), 206, pageOf("/large2")[len(pageOf("/large2"))-5:]},
		{ask("HEAD", "/large3"), 200, ""},
		{get("/large4", `If-None-Match: "1"`), 304, ""},
		{get("/large5"), 200, pageOf("/large5")},
	} {
		s.leave(c.v.req.Target)
		asked := s.times()
		s.want(c.v, flow.CacheHit, c.status, c.body)
		if in, _ := s.cache.store.usage(); s.times() != asked || in == 0 {
			t.Errorf("%d: the origin was asked", i)
		}
	}
	// Who is asked for twice is worth its place in memory.
	s.leave("/large6")
	s.want(get("/large6"), flow.CacheHit, 200, pageOf("/large6"))
	s.want(get("/large6"), flow.CacheHit, 200, pageOf("/large6"))
	hits := s.cache.Stats().Disk.Hits
	s.want(get("/large6"), flow.CacheHit, 200, pageOf("/large6"))
	if d := s.cache.Stats().Disk; d.Hits != hits {
		t.Error("it was read from disk for the third time")
	}
}

func TestAStaleAnswerOnDiskIsValidated(t *testing.T) {
	s := diskSite(t, folder(t), &faulty{left: -1})
	defer s.end()
	s.leave("/stale")
	s.want(get("/stale"), flow.CacheValidated, 200, pageOf("/stale"))
}

func TestWhatWasAskedForOnceDoesNotGoToDisk(t *testing.T) {
	s := diskSite(t, folder(t), &faulty{left: -1})
	defer s.end()
	for i := range 5000 {
		s.serve(get(fmt.Sprint("/once", i)))
	}
	s.settle()
	if d := s.cache.Stats().Disk; d.Answers != 0 || d.Written != 0 || s.cache.Stats().Evicted == 0 {
		t.Errorf("%+v", d)
	}
}

func TestTheDiskOutlivesARestart(t *testing.T) {
	dir := folder(t)
	s := diskSite(t, dir, &faulty{left: -1})
	s.leave("/disk")
	for range 2 {
		s.serve(get("/memory"))
	}
	s.serve(get("/once"))
	s.cache.tier.close(s.cache.store.proven)

	s = diskSite(t, dir, &faulty{left: -1})
	defer s.end()
	s.want(get("/disk"), flow.CacheHit, 200, pageOf("/disk"))
	s.want(get("/memory"), flow.CacheHit, 200, pageOf("/memory"))
	s.want(get("/once"), flow.CacheMiss, 200, pageOf("/once"))
}

func TestWhatIsTakenBackIsTakenBackOnDisk(t *testing.T) {
	for name, takeBack := range map[string]func(s *site){
		"URL":    func(s *site) { s.purge(Purge{Host: "shop.example", Target: "/a"}) },
		"prefix": func(s *site) { s.purge(Purge{Host: "shop.example", Target: "/a", Prefix: true}) },
		"tag":    func(s *site) { s.purge(Purge{Tag: "tag/a"}) },
		"POST":   func(s *site) { s.serve(ask("POST", "/a")) },
		"newer":  func(s *site) { s.serve(get("/a", "Cache-Control: no-cache")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			s := diskSite(t, dir, &faulty{left: -1})
			s.leave("/a", "/b")
			takeBack(s)
			s.settle()
			if name == "newer" {
				s.cache.store.removeAll(func(string, []*entry) bool { return true })
			}
			s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
			s.want(get("/b"), flow.CacheHit, 200, pageOf("/b"))
			s.end()
			s = diskSite(t, dir, &faulty{left: -1})
			defer s.end()
			s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
			s.want(get("/b"), flow.CacheHit, 200, pageOf("/b"))
		})
	}
}

func TestPurgingEverythingRemovesTheFiles(t *testing.T) {
	dir := folder(t)
	s := diskSite(t, dir, &faulty{left: -1})
	defer s.end()
	s.leave("/a")
	if n := s.purge(Purge{}); n == 0 {
		t.Error("nothing was purged")
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.log")); len(files) != 0 {
		t.Errorf("%v are left", files)
	}
	s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
}

// TestAPurgeDuringTheStart names what the index does not know yet.
func TestAPurgeDuringTheStart(t *testing.T) {
	dir := folder(t)
	s := diskSite(t, dir, &faulty{left: -1})
	s.leave("/a", "/b")
	s.end()
	s = newSite(t, "")
	s.cache = New(Options{Memory: 1 << 20, MaxObject: 1 << 20, Disk: Disk{Dir: dir, Size: 64 << 20}})
	_, done := s.cache.purge(Purge{Tag: "tag/a"})
	if err := s.cache.tier.begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(done) != 0 {
		t.Error("the purge was said to be written before it was")
	}
	s.settle()
	if err := <-done; err != nil {
		t.Error(err)
	}
	defer s.end()
	if n, _, _ := s.cache.tier.usage(); n != 1 {
		t.Errorf("%d answers are left", n)
	}
}

func TestADiskThatRefusesCostsNobodyAnything(t *testing.T) {
	for _, fails := range []error{syscall.EROFS, syscall.EIO, syscall.ENOSPC} {
		files := &faulty{left: -1}
		s := diskSite(t, folder(t), files)
		said := 0
		s.cache.tier.o.Failed = func(error) { said++ }
		s.leave("/before")
		files.fails = fails
		for i := range 20 {
			s.leave(fmt.Sprint("/page", i))
		}
		s.want(get("/page1"), flow.CacheMiss, 200, pageOf("/page1"))
		if d := s.cache.Stats().Disk; said != 1 || d.Lost < 10 || d.Answers > 1 {
			t.Errorf("%v: said %d times, %+v", fails, said, d)
		}
		if fails == syscall.EROFS {
			s.want(get("/before"), flow.CacheHit, 200, pageOf("/before"))
		}
		// What cannot be taken back must not be there after a restart: all is given up, and goes as soon as it can.
		s.leave("/before")
		s.serve(ask("POST", "/before"))
		s.settle()
		s.want(get("/before"), flow.CacheMiss, 200, pageOf("/before"))
		files.fails = nil
		s.cache.tier.resume = time.Time{}
		s.settle()
		s.leave("/after")
		s.want(get("/after"), flow.CacheHit, 200, pageOf("/after"))
		s.end()
	}
}

func TestASlowDiskIsLeftAlone(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		files := &faulty{left: -1}
		s := diskSite(t, dir, files)
		s.leave("/a", "/b")
		files.stuck = make(chan struct{})
		began := time.Now()
		s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
		if took := time.Since(began); took != readMost {
			t.Errorf("a visitor waited for %v", took)
		}
		began = time.Now()
		s.want(get("/b"), flow.CacheMiss, 200, pageOf("/b"))
		if took := time.Since(began); took != 0 {
			t.Errorf("the next one waited for %v, too", took)
		}
		close(files.stuck)
		synctest.Wait()
		s.end()
	})
}

func TestDamageOnDiskIsNotSent(t *testing.T) {
	dir := folder(t)
	s := diskSite(t, dir, &faulty{left: -1})
	defer s.end()
	s.leave("/a", "/large")
	names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"/a /a /a", "/large /large"} { // in the middle of each body
			at := strings.LastIndex(string(b), target)
			b[at] ^= 1
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.want(get("/a"), flow.CacheMiss, 200, pageOf("/a"))
	v := get("/large")
	if o := s.serve(v); !v.aborted || o.End != flow.DoorFault || v.text() == pageOf("/large") {
		t.Errorf("a damaged answer: %q, aborted %v", o.End, v.aborted)
	}
	s.want(get("/large"), flow.CacheMiss, 200, pageOf("/large"))
}

func TestTheIndexIsBounded(t *testing.T) {
	dir := folder(t)
	s := diskSite(t, dir, &faulty{left: -1})
	fill := func(s *site) {
		for i := range 3000 {
			e := plain(10)
			e.arrived, e.life, e.body = s.cache.now(), time.Hour, [][]byte{make([]byte, 10)}
			key := strings.Repeat(fmt.Sprint(i, " "), 20)
			s.cache.tier.write(s.cache.store.hash([]byte(key)), key, e, s.cache.now())
			s.settle()
		}
	}
	fill(s)
	if tier := s.cache.tier; tier.index > tier.most || tier.count == 0 {
		t.Errorf("%d bytes of index, at most %d", tier.index, tier.most)
	}
	s.end()
	s = diskSite(t, dir, &faulty{left: -1})
	defer s.end()
	if tier := s.cache.tier; tier.index > tier.most {
		t.Errorf("%d bytes of index after a restart, at most %d", tier.index, tier.most)
	}
}

// TestAKilledProcessLeavesNothingWrong kills the process at each of its operations on files in turn, and looks at what the next
// one finds: nothing that was taken back, nothing older than what it knew, nothing that was never written, and everything
// else.
func TestAKilledProcessLeavesNothingWrong(t *testing.T) {
	steps := []string{"put a 1", "put b 1", "put c 1", "forget a", "put b 2", "purge c", "put d 1", "put a 2", "put large 1", "forget large", "put large 2", "put e 1", "purge d"}
	for n := 0; ; n++ {
		dir := folder(t)
		files := &faulty{left: n}
		done, killed := play(t, dir, files, steps)
		files.bury()
		s := diskSite(t, dir, &faulty{left: -1})
		for key, want := range model(steps[:done]) {
			also := model(steps[:min(done+1, len(steps))])[key] // what was being done may be done, or half
			if got := s.onDisk(key); got != want && got != also && (want == also || got != "") {
				t.Errorf("killed at operation %d, after %q: %s is %q, want %q", n, steps[:done], key, got, want)
			}
		}
		s.end()
		if !killed {
			return
		}
	}
}

// play does the steps, and returns how many were done before it was killed.
func play(t *testing.T, dir string, files *faulty, steps []string) (done int, killed bool) {
	c := New(Options{Memory: 1 << 20, Disk: Disk{Dir: dir, Size: 64 << 20, Files: files}})
	dead := func() bool { return files.left == 0 }
	if c.tier.begin(context.Background()) != nil {
		return 0, true
	}
	c.tier.settle()
	for _, step := range steps {
		var verb, key, version string
		fmt.Sscan(step, &verb, &key, &version)
		h := c.store.hash([]byte(key))
		switch verb {
		case "put":
			c.tier.forget(h, key)
			body := strings.Repeat(key+version, 10)
			if key == "large" {
				body = strings.Repeat(version, 300_000)
			}
			e := &entry{stored: stored{status: 200, body: [][]byte{[]byte(body)}, length: int64(len(body)), header: headerOf("Cache-Tag: " + key), arrived: c.now(), life: time.Hour}}
			c.tier.write(h, key, e, c.now())
		case "forget":
			c.tier.forget(h, key)
		case "purge":
			c.purge(Purge{Tag: key})
		}
		for c.tier.step() {
		}
		c.tier.settle()
		if dead() {
			return done, true
		}
		done++
	}
	c.tier.close(c.store.proven)
	return done, dead()
}

// model is what must be there after the steps.
func model(steps []string) map[string]string {
	m := map[string]string{"a": "", "b": "", "c": "", "d": "", "e": "", "large": ""}
	for _, step := range steps {
		var verb, key, version string
		fmt.Sscan(step, &verb, &key, &version)
		m[key] = version
	}
	return m
}

// onDisk is the version that lies under a key, "" for none.
func (s *site) onDisk(key string) string {
	s.t.Helper()
	spot, _ := s.cache.tier.find(s.cache.store.hash([]byte(key)), []byte(key), flow.Header{})
	if spot == nil {
		return ""
	}
	_, body, err := spot.place.Read()
	if err != nil {
		s.t.Errorf("%s: %v", key, err)
		return ""
	}
	var text strings.Builder
	for _, b := range body {
		text.Write(b)
	}
	version := text.String()[text.Len()-1:]
	if want := strings.Repeat(key+version, 10); key != "large" && text.String() != want {
		s.t.Errorf("%s holds %q", key, text.String())
	}
	return version
}

func TestTheDiskIsHandedOver(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		run := func() (c *Cache, stop func()) {
			ctx, cancel := context.WithCancel(context.Background())
			c = New(Options{Memory: 1 << 20, MaxObject: 1 << 20, Disk: Disk{Dir: dir, Size: 64 << 20, Files: &faulty{left: -1}}})
			done := make(chan struct{})
			go func() { defer close(done); c.Run(ctx) }()
			return c, func() { cancel(); <-done }
		}
		s := newSite(t, "page", "Cache-Control: public, max-age=3600")
		old, stop := run()
		synctest.Wait()
		s.cache = old
		s.want(get("/a"), flow.CacheMiss, 200, "page")
		s.want(get("/a"), flow.CacheHit, 200, "page")
		next, stopNext := run() // while the old one has the folder
		time.Sleep(10 * openEach)
		stop()
		time.Sleep(2 * openEach)
		synctest.Wait()
		s.cache = next
		s.want(get("/a"), flow.CacheHit, 200, "page")
		if n, err := next.Purge(Purge{Target: "/a"}); n != 1 || err != nil {
			t.Errorf("%d addresses were purged, %v", n, err)
		}
		s.want(get("/a"), flow.CacheMiss, 200, "page")
		stopNext()
	})
}

func FuzzHead(f *testing.F) {
	e := plain(3)
	e.header, e.chosen = headerOf("A: b", "Cache-Tag: x"), selecting{names: []string{"X"}, values: []string{"\x00"}}
	f.Add(appendHead(nil, "key", e))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHead(b)
		if err != nil {
			return
		}
		e := h.entry(&Rules{})
		spotOf(1, &h, disk.Place{}).cost()
		again, err := parseHead(appendHead(nil, h.key, e))
		if err != nil || again.key != h.key || again.status != h.status || again.age != h.age || !again.arrived.Equal(h.arrived) || again.header.Len() != h.header.Len() {
			t.Fatalf("%+v, %v, want %+v", again, err, h)
		}
	})
}
