package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// sealAgain is when what could not be sealed is tried again.
const sealAgain = 10 * time.Second

// sealing seals closed segments beside the writer, until ctx ends: each gets a signed digest and is packed. It may be behind and it
// may fail; no decision waits for it, and what is not sealed is in the chain all the same.
func (l *Log) sealing(ctx context.Context) {
	again := time.NewTicker(sealAgain)
	defer again.Stop()
	failing := false
	for {
		err := l.seal(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			l.config.Logger.Warn("a segment of the audit log is not sealed yet", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-l.closed:
		case <-again.C:
		}
	}
}

// seal does what is left to do for the segments that are closed: all but the last. Each step may be the last before a crash, and
// the next start goes on from what is there.
func (l *Log) seal(ctx context.Context) error {
	names, err := files(l.dir)
	if err != nil || len(names) == 0 {
		return err
	}
	all, err := readDigests(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names[:len(names)-1] {
		if len(all) == 0 || firstOf(name) > all[len(all)-1].Last {
			next, err := l.sign(ctx, name, all)
			if err != nil {
				return err
			}
			all = append(all, *next)
		}
		if err := pack(ctx, l.dir, name); err != nil {
			return err
		}
	}
	return l.expire(all, names)
}

// sign makes the digest of a segment. The signature is there before the digest is.
func (l *Log) sign(ctx context.Context, name string, before []sealed) (*sealed, error) {
	d, err := describe(ctx, l.dir, name)
	if err != nil {
		return nil, fmt.Errorf("making a digest: %w", err)
	}
	d.Writer, d.Time = l.config.Writer, l.config.Now().UTC().Truncate(time.Second)
	d.Oldest = l.oldest(before, d.First)
	if len(before) > 0 {
		last := &before[len(before)-1]
		sum := sha256.Sum256(last.text)
		d.Previous, d.PreviousSHA256, d.PreviousSignature = last.name, hex.EncodeToString(sum[:]), hex.EncodeToString(last.signature)
	}
	text, err := d.encode()
	if err != nil {
		return nil, err
	}
	s := &sealed{digest: d, name: digestName(d.First), text: text}
	if s.signature, err = l.config.Sign(ctx, s.text); err != nil {
		return nil, fmt.Errorf("signing %s: %w", s.name, err)
	}
	for _, file := range []struct {
		name string
		text []byte
	}{{signatureName(s.name), s.signature}, {s.name, s.text}} {
		if err := replace(filepath.Join(l.dir, file.name), func(w io.Writer) error {
			_, err := w.Write(file.text)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// oldest is the first record that stays: what is before it was sealed long enough ago and is delivered. It is part of the next
// digest, so that nobody else can remove a log's beginning and call it retention.
func (l *Log) oldest(digests []sealed, next int64) int64 {
	delivered := int64(1 << 62)
	if l.config.Delivered != nil {
		delivered = l.config.Delivered()
	}
	for i := range digests {
		d := &digests[i]
		if l.config.Keep <= 0 || l.config.Now().Sub(d.Time) < l.config.Keep || d.Last > delivered {
			return d.First
		}
	}
	return next
}

// expire removes what the last digest says is no longer kept, the oldest first.
func (l *Log) expire(digests []sealed, names []string) error {
	if len(digests) == 0 {
		return nil
	}
	oldest := digests[len(digests)-1].Oldest
	var gone []string
	for _, name := range names {
		if firstOf(name) < oldest {
			gone = append(gone, name, name+packed)
		}
	}
	for i := range digests {
		if digests[i].First < oldest {
			gone = append(gone, digests[i].name, signatureName(digests[i].name))
		}
	}
	for _, name := range gone {
		if err := os.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what retention does not keep: %w", err)
		}
	}
	return nil
}

// sweep removes what a crash left unfinished.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, unfinished) && (strings.HasPrefix(name, filePrefix) || strings.HasPrefix(name, digestPrefix)) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
		}
	}
	return err
}
