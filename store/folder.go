package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openlanyard/lanyard/fault"
)

// lockFolder makes the folder if need be, refuses one that others may read, and takes its lock, which the system frees
// with the process. etcd has a lock of its own, but waits for it without a word.
func lockFolder(dir string) (*os.File, error) {
	if dir == "" {
		return nil, fault.New(fault.Invalid, "the store needs a folder or the endpoints of an etcd cluster")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store's folder: %w", err)
	}
	if err := checkModes(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the store's lock file: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(lock, 20)) // only to help: the lock itself is what refuses
		err = fault.New(fault.BadState, "the folder %s is in use by another process (pid %s): stop that one, or use another folder",
			dir, strings.TrimSpace(string(holder)))
	}
	if err == nil {
		err = writePID(lock)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func writePID(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("writing the store's lock file: %w", err)
	}
	if _, err := fmt.Fprintf(lock, "%d\n", os.Getpid()); err != nil {
		return fmt.Errorf("writing the store's lock file: %w", err)
	}
	return nil
}

// checkModes refuses a folder that is not 0700, and any file in it that others may read or write. One kind of file is
// made right instead: etcd writes its raft snapshots with what the process's umask leaves of 0666.
func checkModes(dir string) error {
	snapshots := filepath.Join(dir, "etcd", "member", "snap")
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running process has just replaced it; the lock will refuse us
		}
		if err != nil {
			return fmt.Errorf("checking the store's folder: %w", err)
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("checking the store's folder: %w", err)
		}
		mode := info.Mode().Perm()
		if mode&0o077 != 0 && entry.Type().IsRegular() && filepath.Dir(path) == snapshots && filepath.Ext(path) == ".snap" {
			return os.Chmod(path, 0o600)
		}
		if entry.IsDir() && mode&0o077 != 0 {
			return fault.New(fault.Invalid, "the folder %s has mode %#o, want 0700: others could read its secrets", path, mode)
		}
		if mode&0o077 != 0 && entry.Type() != fs.ModeSymlink {
			return fault.New(fault.Invalid, "the file %s has mode %#o, want 0600: others could read its secrets", path, mode)
		}
		return nil
	})
}

// begin lets a new member's first start be repeated from nothing until begun is called. A member that is stopped before
// it has written that it is the only one never elects itself; it has acknowledged nothing yet. A mark says that a member
// is new: a folder without it is never touched.
func begin(dir string) (begun func() error, err error) {
	mark, data := filepath.Join(dir, "new"), filepath.Join(dir, "etcd")
	_, marked := os.Stat(mark)
	_, present := os.Stat(data)
	if marked != nil && present == nil {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return nil, fmt.Errorf("beginning the store's folder: %w", err)
	}
	if err := errors.Join(syncFolder(dir), os.RemoveAll(data)); err != nil {
		return nil, fmt.Errorf("beginning the store's folder: %w", err)
	}
	return func() error {
		// On the disk before anything is acknowledged: a mark that comes back would take everything with it.
		if err := errors.Join(os.Remove(mark), syncFolder(dir)); err != nil {
			return fmt.Errorf("beginning the store's folder: %w", err)
		}
		return nil
	}, nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
