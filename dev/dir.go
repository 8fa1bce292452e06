// Package dev is Lanyard on a laptop: practice clusters whose signing keys it holds, an embedded S3 store, the
// walk-through, and the environment of a pod (README.md tells how it is used).
package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/trail"
)

// Account and Region are what the first start makes.
const (
	Account = "111122223333"
	Region  = "us-east-1"
)

// Dir is the state folder of `lanyard dev`: 0700, its files 0600. File permission is the authority over everything in it.
type Dir string

// OpenDir makes the folder where it is missing, and refuses one that others may read.
func OpenDir(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", fmt.Errorf("making the state folder: %w", err)
	}
	return Dir(abs), Dir(abs).check()
}

// FindDir is OpenDir for who only asks: a folder that is missing is NotFound, and is not made.
func FindDir(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(abs); errors.Is(err, fs.ErrNotExist) {
		return "", notStarted(abs)
	}
	return Dir(abs), Dir(abs).check()
}

func notStarted(missing string) error {
	return fault.New(fault.NotFound, "%s is not there: start `lanyard dev` on this folder first", missing)
}

// check refuses a folder or a file in it that others may read or write. The rooms that have the other folders check theirs.
func (d Dir) check() error {
	if err := d.checkFolder(string(d)); err != nil {
		return err
	}
	for _, folder := range []string{d.path(clustersFolder), d.Objects()} {
		if err := d.checkFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) { // not there before the first start
			return err
		}
	}
	return nil
}

func (d Dir) checkFolder(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 {
		return fault.New(fault.Invalid, "the state folder %s has mode %04o: it has to be a folder of mode 0700 (chmod 700 %s)", folder, info.Mode().Perm(), folder)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return fault.New(fault.Invalid, "%s is a symbolic link: files of the state folder have to be in it", filepath.Join(folder, e.Name()))
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return fault.New(fault.Invalid, "%s has mode %04o: files of the state folder have to be 0600", filepath.Join(folder, e.Name()), info.Mode().Perm())
		}
	}
	return nil
}

func (d Dir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// The places in the folder.

// State is the folder of the embedded etcd member.
func (d Dir) State() string { return d.path("state") }

// Audit is the folder of the audit log.
func (d Dir) Audit() string { return d.path("audit") }

// Objects is the folder of the embedded S3 store.
func (d Dir) Objects() string { return d.path("s3") }

// MasterKey is the file of the master key.
func (d Dir) MasterKey() string { return d.path("master.key") }

// Administrator is the administrator of the first account, as the folder keeps it.
type Administrator struct {
	Account         string `json:"account"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// Addresses is where the running process listens.
type Addresses struct {
	Endpoint string `json:"endpoint"` // http://127.0.0.1:8780
	Agent    string `json:"agent"`    // http://127.0.0.1:8723
	PID      int    `json:"pid"`
}

const (
	administratorFile = "administrator.json"
	addressesFile     = "addresses.json"
	startedFile       = "started.json"
	clustersFolder    = "clusters"
)

// Started reports whether the first start was finished; one that was cut short is done again.
func (d Dir) Started() bool {
	_, err := os.Stat(d.path(startedFile))
	return err == nil
}

// PutStarted says that the first start is finished.
func (d Dir) PutStarted() error { return d.write(startedFile, struct{}{}) }

// PutAdministrator keeps the administrator's key.
func (d Dir) PutAdministrator(a Administrator) error { return d.write(administratorFile, a) }

// Administrator returns the administrator's key; NotFound before the first start has made it.
func (d Dir) Administrator() (a Administrator, err error) {
	err = d.read(administratorFile, &a)
	return a, err
}

// PutAddresses tells other commands where the running process listens.
func (d Dir) PutAddresses(a Addresses) error { return d.write(addressesFile, a) }

// Addresses returns where the running process listens, or listened when it was killed.
func (d Dir) Addresses() (a Addresses, err error) {
	err = d.read(addressesFile, &a)
	return a, err
}

// ClearAddresses says that no process listens any more.
func (d Dir) ClearAddresses() error {
	err := os.Remove(d.path(addressesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// write replaces a file as a whole, so that a reader sees the old content or the new.
func (d Dir) write(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return Replace(d.path(name), append(text, '\n'))
}

func (d Dir) read(name string, v any) error {
	text, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return notStarted(d.path(name))
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("reading %s: %w", d.path(name), err)
	}
	return nil
}

// Replace writes a file of mode 0600 beside the old one and renames it over. It returns once that is durable.
func Replace(path string, content []byte) error {
	return trail.Folder(filepath.Dir(path)).Put(context.Background(), filepath.Base(path), content)
}
