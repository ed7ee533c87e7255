package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

const answers Kind = 1

// folder is one of the test's own, whatever the user's umask is.
func folder(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string, size int64, dropped func(*Segment)) *Log {
	t.Helper()
	if dropped == nil {
		dropped = func(*Segment) {}
	}
	l, err := Open(dir, size, hasty{}, dropped)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hasty is the system's files without waiting for the disk itself.
type hasty struct{ System }

func (hasty) SyncDir(string) error { return nil }

func (h hasty) Create(name string) (File, error) {
	f, err := h.System.Create(name)
	return hastyFile{f}, err
}

func (h hasty) Open(name string) (File, error) {
	f, err := h.System.Open(name)
	return hastyFile{f}, err
}

type hastyFile struct{ File }

func (hastyFile) Sync() error { return nil }

func scanned(t *testing.T, l *Log) (heads []string, places []Place) {
	t.Helper()
	if err := l.Scan(context.Background(), func(r Record) {
		if r.Kind != answers {
			t.Errorf("a record of kind %d", r.Kind)
		}
		heads, places = append(heads, string(r.Head)), append(places, r.Place)
	}); err != nil {
		t.Fatal(err)
	}
	return heads, places
}

// bodyOf is a body of a length that is like no other.
func bodyOf(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

var lengths = []int{0, 1, BlockSize - 1, BlockSize, BlockSize + 1, 3*BlockSize + 17, bufferSize + BlockSize}

func TestWhatIsAppendedIsReadAgain(t *testing.T) {
	dir := folder(t)
	l := open(t, dir, 64<<20, nil)
	scanned(t, l)
	check := func(p Place, n int) {
		t.Helper()
		head, body, err := p.Read()
		if err != nil || string(head) != fmt.Sprint("head ", n) || !bytes.Equal(bytes.Join(body, nil), bodyOf(n)) || p.Length() != int64(n) {
			t.Fatalf("%d bytes: head %q, %v", n, head, err)
		}
		var parts []byte
		buf := make([]byte, 2*(BlockSize+4)+100)
		for first := int64(0); ; first += 2 {
			blocks, err := p.ReadBlocks(buf, first)
			if err != nil {
				t.Fatal(err)
			}
			if len(blocks) == 0 {
				break
			}
			parts = append(parts, bytes.Join(blocks, nil)...)
		}
		if !bytes.Equal(parts, bodyOf(n)) {
			t.Fatalf("%d bytes differ when they are read in blocks", n)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths {
		var parts [][]byte
		for b := bodyOf(n); len(b) > 0; {
			k := 1 + r.IntN(len(b))
			parts, b = append(parts, b[:k]), b[k:]
		}
		p, err := l.Append(answers, fmt.Append(nil, "head ", n), parts)
		if err != nil {
			t.Fatal(err)
		}
		check(p, n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, 64<<20, nil)
	defer l.Close()
	_, places := scanned(t, l)
	if len(places) != len(lengths) {
		t.Fatalf("%d records after a restart", len(places))
	}
	for i, n := range lengths {
		check(places[i], n)
	}
}

func TestTheOldestMakesRoom(t *testing.T) {
	dir := folder(t)
	gone := 0
	const size = 4 << 20
	l := open(t, dir, size, func(*Segment) { gone++ })
	scanned(t, l)
	body := [][]byte{bodyOf(300 << 10)}
	for i := range 40 {
		p, err := l.Append(answers, fmt.Append(nil, i), body)
		if err != nil {
			t.Fatal(err)
		}
		if l.NextToGo(p.Segment) || len(l.segments) > 1 && !l.NextToGo(l.segments[0]) {
			t.Fatal("the segment that is written is said to be the next to go, or the oldest is not")
		}
		var bytes int64
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			info, _ := f.Info()
			bytes += info.Size()
		}
		if bytes > size || bytes != l.Bytes() || len(files) > segmentsMost+1 {
			t.Fatalf("%d bytes in %d files, counted %d", bytes, len(files), l.Bytes())
		}
	}
	if gone == 0 {
		t.Error("nothing made room")
	}
	if _, err := l.Append(answers, nil, [][]byte{make([]byte, size/4+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a quarter of everything: %v", err)
	}
	l.Close()
	l = open(t, dir, size/4, nil) // the operator wants less
	defer l.Close()
	if heads, _ := scanned(t, l); heads[len(heads)-1] != "39" || l.Bytes() > size/4 {
		t.Errorf("the latest is %s, of %d bytes", heads[len(heads)-1], l.Bytes())
	}
}

func TestManyRestartsMakeFewFiles(t *testing.T) {
	dir := folder(t)
	for i := range 2 * segmentsMost { // each has begun a file
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016x.log", i+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, dir, 64<<20, nil)
	defer l.Close()
	scanned(t, l)
	if _, err := l.Append(answers, nil, nil); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) > segmentsMost+1 {
		t.Errorf("%d files", len(files))
	}
}

// written makes a log of three segments with two records each, and returns the files.
func written(t *testing.T, dir string) (names []string) {
	for i := range 3 {
		l := open(t, dir, 64<<20, nil)
		scanned(t, l)
		for j := range 2 {
			if _, err := l.Append(answers, fmt.Append(nil, i, " ", j), [][]byte{bodyOf(100)}); err != nil {
				t.Fatal(err)
			}
		}
		names = append(names, l.active.name)
		l.Close()
	}
	return names
}

func TestATornRecordIsTheEndOfItsSegment(t *testing.T) {
	const record = frameSize + 3 + 100 + sumSize
	torn := func(how string, lengths ...int64) {
		t.Helper()
		dir := folder(t)
		names := written(t, dir)
		for _, n := range lengths {
			if err := os.Truncate(names[1], n); err != nil {
				t.Fatal(err)
			}
		}
		l := open(t, dir, 64<<20, nil)
		defer l.Close()
		if heads, _ := scanned(t, l); fmt.Sprint(heads) != fmt.Sprint([]string{"0 0", "0 1", "1 0", "2 0", "2 1"}) {
			t.Errorf("%s: %q", how, heads)
		}
	}
	for _, left := range []int64{0, 1, frameSize - 1, frameSize, frameSize + 2, frameSize + 3, record - sumSize, record - 1} {
		torn(fmt.Sprint(left, " bytes are left"), record+left)
	}
	for _, zeros := range []int64{1, frameSize, record, BlockSize + 9} { // as a file system may leave them
		torn(fmt.Sprint(zeros, " zeros"), record, record+zeros)
	}
}

func TestADamagedHeadTakesWhatCameBeforeWithIt(t *testing.T) {
	for _, at := range []int{0, 4, 5, 8, 12, 20, frameSize - 1, frameSize, frameSize + 2} {
		dir := folder(t)
		names := written(t, dir)
		damage(t, names[1], int64(frameSize+3+100+sumSize+at))
		gone := 0
		l := open(t, dir, 64<<20, func(*Segment) { gone++ })
		if _, places := scanned(t, l); gone != 2 || len(l.segments) != 1 || places[len(places)-1].Segment != l.segments[0] {
			t.Errorf("byte %d: %d segments went, %d are left", at, gone, len(l.segments))
		}
		l.Close()
	}
}

func TestADamagedBodyIsNotRead(t *testing.T) {
	dir := folder(t)
	l := open(t, dir, 64<<20, nil)
	defer l.Close()
	scanned(t, l)
	p, err := l.Append(answers, []byte("head"), [][]byte{bodyOf(2*BlockSize + 10)})
	if err != nil {
		t.Fatal(err)
	}
	damage(t, p.Segment.name, frameSize+4+BlockSize+sumSize+5)
	if _, _, err := p.Read(); !errors.Is(err, ErrDamaged) {
		t.Errorf("read whole: %v", err)
	}
	buf := make([]byte, BlockSize+sumSize)
	for i, want := range []bool{true, false, true} {
		if _, err := p.ReadBlocks(buf, int64(i)); (err == nil) != want {
			t.Errorf("block %d: %v", i, err)
		}
	}
	damage(t, p.Segment.name, frameSize)
	if _, err := p.ReadHead(); !errors.Is(err, ErrDamaged) {
		t.Errorf("the head: %v", err)
	}
}

// damage changes a byte of a file.
func damage(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^b[0]}, at); err != nil {
		t.Fatal(err)
	}
}

func TestOneProcessHasTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by the log")
	l := open(t, dir, 64<<20, nil)
	if _, err := Open(dir, 64<<20, System{}, func(*Segment) {}); !errors.Is(err, ErrTaken) {
		t.Errorf("taken twice: %v", err)
	}
	l.Close()
	open(t, dir, 64<<20, nil).Close()
}

// FuzzScan reads a segment that holds whatever it may.
func FuzzScan(f *testing.F) {
	b := append(appendFrame(nil, answers, []byte("head"), 3), "head"...)
	w := blockWriter{}
	f.Add(append(b, w.close(w.append(nil, []byte("abc")))...))
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := folder(t)
		if err := os.WriteFile(filepath.Join(dir, "0000000000000001.log"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, 64<<20, nil)
		defer l.Close()
		if err := l.Scan(context.Background(), func(r Record) { _, _, _ = r.Place.Read() }); err != nil {
			t.Fatal(err)
		}
		p, err := l.Append(answers, []byte("head"), [][]byte{[]byte("body")})
		if err != nil {
			t.Fatal(err)
		}
		if _, body, err := p.Read(); err != nil || string(body[0]) != "body" {
			t.Fatalf("%q, %v", body, err)
		}
	})
}

// moving counts how often the folder was brought to the disk, and may refuse it.
type moving struct {
	hasty
	times *int
	fails *error
}

func (m moving) SyncDir(string) error { *m.times++; return *m.fails }

func TestTheFolderIsBroughtToTheDisk(t *testing.T) {
	var times int
	var fails error
	l, err := Open(folder(t), 64<<20, moving{times: &times, fails: &fails}, func(*Segment) {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	scanned(t, l)
	sync := func(what string, do func() error, ok bool, want int) {
		t.Helper()
		times = 0
		if err := do(); (err == nil) != ok || times != want {
			t.Errorf("%s: %v, the folder %d times, want %d", what, err, times, want)
		}
	}
	put := func() {
		t.Helper()
		if _, err := l.Append(answers, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	put()
	sync("a new file", l.Sync, true, 1)
	put()
	sync("the same file", l.Sync, true, 0)
	fails = errors.New("refused")
	sync("removed", l.Wipe, false, 1)
	sync("removed, again", l.Wipe, false, 1)
	fails = nil
	sync("removed at last", l.Wipe, true, 1)
	sync("nothing", l.Wipe, true, 0)
}
