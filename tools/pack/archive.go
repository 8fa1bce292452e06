package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a file or, with a name that ends in a slash, a folder, as it is written into an archive or a layer.
type entry struct {
	name  string
	mode  fs.FileMode
	owner int // user and group
	body  []byte
}

// pack writes entries in their order. Times, owners and modes are what is given: those of this machine do not get in.
func pack(entries []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.body)), Mode: int64(e.mode.Perm()),
			Uid: e.owner, Gid: e.owner, ModTime: at, Format: tar.FormatPAX,
		}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// zip compresses without a name and a time.
func zip(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// papers go into every archive; those of deploy/systemd into Linux's.
var papers = []string{"CHANGELOG.md", "LICENSE", "README.md", "docs/COMPATIBILITY.md", "docs/TRUST.md"}

// archives writes one archive for each target, a bill of materials for each binary, and the checksums of all.
func (r *release) archives(ctx context.Context) error {
	made := map[string][]byte{}
	for _, target := range targets {
		stem := "lanyard-" + r.version + "-" + target.platform.String()
		var entries []entry
		for _, program := range target.programs {
			binary, err := r.build(ctx, target.platform, program)
			if err != nil {
				return err
			}
			entries = append(entries, entry{name: stem + "/" + program, mode: 0o755, body: binary})
			if made[program+strings.TrimPrefix(stem, "lanyard")+".cdx.json"], err = r.bill(program, binary); err != nil {
				return err
			}
		}
		texts, err := r.papers(target.os == "linux")
		if err != nil {
			return err
		}
		for _, text := range texts {
			text.name = stem + "/" + text.name
			entries = append(entries, text)
		}
		packed, err := pack(entries, r.time)
		if err != nil {
			return err
		}
		if made[stem+".tar.gz"], err = zip(packed); err != nil {
			return err
		}
	}
	made["SHA256SUMS"] = sums(made)
	return r.write(made)
}

func (r *release) papers(units bool) (texts []entry, err error) {
	names := slices.Clone(papers)
	if units {
		found, err := filepath.Glob(filepath.Join(r.sources, "deploy", "systemd", "*.service"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("no unit in deploy/systemd: %w", err)
		}
		for _, file := range found {
			names = append(names, path.Join("deploy/systemd", filepath.Base(file)))
		}
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(r.sources, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		texts = append(texts, entry{name: name, mode: 0o644, body: text})
	}
	return texts, nil
}

// sums is what `sha256sum --check` reads.
func sums(made map[string][]byte) []byte {
	var lines []string
	for name, data := range made {
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return []byte(strings.Join(lines, ""))
}

func (r *release) write(made map[string][]byte) error {
	for name, data := range made {
		if err := os.WriteFile(filepath.Join(r.out, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
