//go:build unix

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFolderThatOthersMayWriteIntoIsRefused(t *testing.T) {
	refused := func(dir, why string) {
		t.Helper()
		l, err := Open(dir, 64<<20, System{}, func(*Segment) {})
		if err == nil {
			l.Close()
			t.Errorf("%s was accepted", dir)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for _, mode := range []os.FileMode{0o770, 0o702, 0o777 | os.ModeSticky} {
		dir := folder(t)
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		refused(dir, "others may write")
	}
	foreign := "/" // somebody else's for all but root
	if os.Geteuid() == 0 {
		foreign = folder(t)
		if err := os.Chown(foreign, 65534, -1); err != nil {
			t.Skip(err)
		}
	}
	if info, err := os.Stat(foreign); err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		refused(foreign, "belongs to user")
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	dir, other := folder(t), folder(t)
	if err := os.Symlink(filepath.Join(other, "made"), filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(dir, 64<<20, System{}, func(*Segment) {}); err == nil {
		l.Close()
		t.Error("a lock behind a link was taken")
	}
	if made, _ := os.ReadDir(other); len(made) != 0 {
		t.Errorf("%v was made behind a link", made)
	}
	os.Remove(filepath.Join(dir, "lock"))
	names := written(t, dir)
	behind := filepath.Join(other, "segment")
	if err := errors.Join(os.Rename(names[1], behind), os.Symlink(behind, names[1])); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, 64<<20, nil)
	defer l.Close()
	if heads, _ := scanned(t, l); len(heads) != 4 || heads[2] != "2 0" { // the first was read, and dropped with the link
		t.Errorf("%q", heads)
	}
	if len(l.segments) != 1 {
		t.Errorf("%d segments are left", len(l.segments))
	}
	if _, err := os.Lstat(behind); err != nil {
		t.Error(err)
	}
}

func TestOnlyPlainFilesAreRead(t *testing.T) {
	name := filepath.Join(folder(t), "0000000000000001.log")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := (System{}).Open(name); err == nil {
		t.Error("a pipe was opened")
	}
}
