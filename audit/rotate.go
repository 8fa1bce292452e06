package audit

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// rotate begins the next file. The old one is synced first: a file with a follower is whole.
func (l *Log) rotate() error {
	if err := l.sync(); err != nil {
		return err
	}
	next, err := os.OpenFile(filepath.Join(l.dir, fileName(l.last.Seq+1)), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := SyncFolder(l.dir); err != nil {
		return errors.Join(err, next.Close(), os.Remove(next.Name()))
	}
	old := l.file
	l.file, l.size = next, 0
	select {
	case l.closed <- struct{}{}:
	default: // it is known that there is one
	}
	if old != nil {
		return old.Close()
	}
	return nil
}

// SyncFolder makes durable which files a folder has.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// closeHour begins a new segment when an hour is over, so that what was written in it is sealed even if nothing follows. Where
// that fails, the next record will tell.
func (l *Log) closeHour() {
	if l.broken != nil || l.torn || l.size == 0 || hour(l.config.Now()) == l.hour {
		return
	}
	if err := l.rotate(); err != nil {
		l.config.Logger.Warn("the next segment of the audit log was not begun", "error", err)
	}
}

// hour is the part of time that a segment is of.
func hour(t time.Time) int64 { return t.Unix() / 3600 }
