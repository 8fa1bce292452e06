package trail

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
)

// Folder is a sink on a file system.
type Folder string

func (f Folder) String() string { return string(f) }

func (f Folder) at(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }

// Put writes beside the file and renames: who reads the folder sees whole files. What it has put is there after a power cut, for
// the log may let go of it.
func (f Folder) Put(_ context.Context, name string, body []byte) error {
	at := f.at(name)
	_, missing := os.Stat(filepath.Dir(at))
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	if err := replace(at, body); err != nil {
		return err
	}
	for within := path.Dir(name); ; within = path.Dir(within) {
		if err := audit.SyncFolder(f.at(within)); err != nil || within == "." || missing == nil {
			return err
		}
	}
}

func replace(file string, body []byte) (err error) {
	w, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(w.Name()))
		}
	}()
	_, err = w.Write(body)
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), file)
}

// Get reads a file. Others may write the folder: it follows no link out of it, and waits for no pipe.
func (f Folder) Get(_ context.Context, name string) (body []byte, err error) {
	folder, err := os.OpenRoot(string(f))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	file, err := folder.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, "it is no file, but %v", info.Mode())
	}
	if info.Size() > maxPacked {
		return nil, errTooLarge
	}
	return io.ReadAll(io.LimitReader(file, maxPacked))
}

// List reads a folder. What is no file has no name there.
func (f Folder) List(_ context.Context, prefix string) (files []File, prefixes []string, err error) {
	folder, err := os.OpenFile(f.at(prefix), os.O_RDONLY|syscall.O_DIRECTORY, 0) // of a pipe, too, an error
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	entries, err := folder.ReadDir(maxListed + 1)
	switch {
	case errors.Is(err, io.EOF): // it is empty
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case len(entries) > maxListed:
		return nil, nil, errTooMany
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		name := prefix + entry.Name()
		if entry.IsDir() {
			prefixes = append(prefixes, name+"/")
			continue
		}
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && !strings.HasPrefix(entry.Name(), ".") {
			files = append(files, File{name, info.Size()})
		}
	}
	return files, prefixes, err
}
