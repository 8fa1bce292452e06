package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The same binary makes the same image, whatever the clock, the folder and the umask are.
func TestImagesAreReproducible(t *testing.T) {
	var first []byte
	for range 2 {
		r := &release{out: t.TempDir(), version: "1", revision: "abc", time: time.Unix(1e9, 0).UTC(), platforms: imagePlatforms}
		image, err := r.image(kinds[0], imagePlatforms[0], []byte("a binary"))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := image.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = manifest
		} else if !bytes.Equal(first, manifest) {
			t.Errorf("the manifests differ:\n%s\n%s", first, manifest)
		}
	}
}

// Archives hold what they should, bear the commit's time and no owner, and come out alike twice. The bills name what each
// binary is made of, and the sums are of what is there.
func TestArchives(t *testing.T) {
	all := targets
	t.Cleanup(func() { targets = all })
	targets = slices.Clone(all[:1])
	targets[0].platform = platform{"linux", runtime.GOARCH}

	r := here(t)
	var made []map[string]string
	for range 2 {
		r.out = t.TempDir()
		if err := r.archives(t.Context()); err != nil {
			t.Fatal(err)
		}
		made = append(made, contents(t, r.out))
	}
	if !maps.Equal(made[0], made[1]) {
		t.Errorf("two runs made %v and %v", slices.Sorted(maps.Keys(made[0])), slices.Sorted(maps.Keys(made[1])))
	}
	stem := "lanyard-" + r.version + "-linux-" + runtime.GOARCH
	bill, agentBill := made[0]["lanyard-"+r.version+"-linux-"+runtime.GOARCH+".cdx.json"], made[0]["lanyard-agent-"+r.version+"-linux-"+runtime.GOARCH+".cdx.json"]
	const etcd, signer = "pkg:golang/go.etcd.io/etcd/server/v3@", "pkg:golang/github.com/aws/aws-sdk-go-v2@"
	if !strings.Contains(bill, etcd) || !strings.Contains(agentBill, signer) || strings.Contains(agentBill, etcd) {
		t.Errorf("the bills are not of the binaries: %d and %d bytes", len(bill), len(agentBill))
	}
	for line := range strings.Lines(made[0]["SHA256SUMS"]) {
		name := strings.TrimSpace(line[64:])
		if want := string(sums(map[string][]byte{name: []byte(made[0][name])})); line != want || made[0][name] == "" {
			t.Errorf("SHA256SUMS has %q, want %q", line, want)
		}
	}
	if got, want := strings.Count(made[0]["SHA256SUMS"], "\n"), len(made[0])-1; got != want {
		t.Errorf("SHA256SUMS has %d lines, want %d", got, want)
	}
	names := read(t, made[0][stem+".tar.gz"], r.time)
	for _, want := range []string{"lanyard", "lanyard-agent", "LICENSE", "README.md", "deploy/systemd/lanyard-server.service"} {
		if !slices.Contains(names, stem+"/"+want) {
			t.Errorf("the archive has %q, want %s among them", names, want)
		}
	}
}

func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(text)
	}
	return all
}

// read lists an archive, and complains of what is of this machine.
func read(t *testing.T, archive string, at time.Time) (names []string) {
	t.Helper()
	unzipped, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(unzipped); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || !header.ModTime.Equal(at) {
			t.Errorf("%s: owner %d:%d %q, time %s, want root and %s", header.Name, header.Uid, header.Gid, header.Uname, header.ModTime, at)
		}
		if mode := fmt.Sprintf("%o", header.Mode); mode != "755" && mode != "644" {
			t.Errorf("%s: mode %s", header.Name, mode)
		}
		names = append(names, header.Name)
	}
}
