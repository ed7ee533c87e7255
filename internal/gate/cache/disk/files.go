package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Full reports whether an error says that the disk has no room.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// Files are the operations on files that a log makes, so that a test can let each of them fail. Names are full paths.
type Files interface {
	// Lock makes the folder, if need be, and takes it for this process until the closer is closed. It refuses a folder into
	// which others may write.
	Lock(dir string) (io.Closer, error)
	// SyncDir brings to the disk which files there are in the folder.
	SyncDir(dir string) error
	// List names what is in the folder.
	List(dir string) ([]string, error)
	// Create makes a file that is not there yet, to be written and read.
	Create(name string) (File, error)
	// Open opens a file to be read; a link is none.
	Open(name string) (File, error)
	Remove(name string) error
}

// File is one of the log's files.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// System is the files of this machine. What it makes is for the door's user alone.
type System struct{}

// Lock implements Files.
func (System) Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := own(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// List implements Files.
func (System) List(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names, err
}

// Create implements Files.
func (System) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // which follows no link either
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

// Open implements Files.
func (System) Open(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is not a plain file", name))
	}
	return systemFile{f}, nil
}

// SyncDir implements Files.
func (System) SyncDir(dir string) error { return syncDir(dir) }

// Remove implements Files.
func (System) Remove(name string) error { return os.Remove(name) }

type systemFile struct{ *os.File }

// Size implements File.
func (f systemFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
