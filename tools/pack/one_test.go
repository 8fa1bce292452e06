package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const named = "lanyard.local/some:test"

// A program of ours becomes what is released of it; another is root's and has nothing of ours; a tar archive is the root.
func TestOneImage(t *testing.T) {
	folder := t.TempDir()
	binary, err := here(t).build(t.Context(), platform{"linux", runtime.GOARCH}, "lanyard-agent")
	if err != nil {
		t.Fatal(err)
	}
	root, err := pack([]entry{{name: "etc/", mode: 0o755}, {name: "etc/motd", mode: 0o640, owner: 7, body: []byte("hello")}}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"lanyard": binary, "other": binary, "root.tar": root} {
		if err := os.WriteFile(filepath.Join(folder, name), body, 0o700); err != nil {
			t.Fatal(err)
		}
	}

	for _, c := range []struct{ content, user, entryPoint string }{
		{"lanyard", "65532:65532", "/lanyard"}, {"other", "0:0", "/other"}, {"root.tar", "", ""},
	} {
		image, config := packed(t, filepath.Join(folder, c.content))
		if got := strings.Join(config.Config.Entrypoint, " "); config.Config.User != c.user || got != c.entryPoint {
			t.Errorf("%s: user %q, entry point %q, want %q and %q", c.content, config.Config.User, got, c.user, c.entryPoint)
		}
		box := unpack(t, image)
		if c.entryPoint == "" {
			if text, err := os.ReadFile(filepath.Join(box.root, "etc", "motd")); err != nil || string(text) != "hello" {
				t.Errorf("%s: %q, %v, want hello", c.content, text, err)
			}
			continue
		}
		if out, err := box.command(t, config, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "lanyard-agent ") {
			t.Errorf("%s version: %v: %s", c.content, err, out)
		}
	}
	for _, content := range []string{"lanyard", "root.tar"} {
		archive := filepath.Join(folder, "none.tar")
		if err := run(t.Context(), []string{"image", named, archive, filepath.Join(folder, "of", content)}); err == nil {
			t.Errorf("%s: an image was made of what is not there", content)
		}
		if _, err := os.Stat(archive); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: an archive was left: %v", content, err)
		}
	}
}

// packed makes an image and reads it back from its archive, under its name.
func packed(t *testing.T, content string) (v1.Image, *v1.ConfigFile) {
	t.Helper()
	archive, folder := filepath.Join(t.TempDir(), "image.tar"), t.TempDir()
	if err := run(t.Context(), []string{"image", named, archive, content}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(bytes.NewReader(text)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		to := filepath.Join(folder, filepath.FromSlash(header.Name))
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, body, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("the layout is not valid: %v", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || manifest.Manifests[0].Annotations["io.containerd.image.name"] != named {
		t.Errorf("%v, %+v, want the name %s", err, manifest, named)
	}
	image := only(t, index)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return image, config
}
