//go:build unix

package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// noFollow makes opening a symbolic link an error; opening a pipe does not wait for whoever writes into it.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// own returns an error for a folder that belongs to somebody else, or into which others may write: they could put answers
// there, or take back what was taken back.
func own(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d and not to the door's, %d: name a folder inside it, or change its owner", dir, s.Uid, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others may write into %s (mode %04o): name a folder inside it, or chmod go-w it", dir, mode)
	}
	return nil
}

// syncDir brings the folder itself to the disk, where its file system knows of that.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
