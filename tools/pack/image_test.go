package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// here is the release of these sources, with images for this machine alone.
func here(t *testing.T) *release {
	t.Helper()
	r, err := newRelease(t.Context(), "../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.platforms = []platform{{"linux", runtime.GOARCH}}
	return r
}

// The layout is read as a registry's client reads it, each image is unpacked, and its entry point runs in it as its user.
func TestImagesStart(t *testing.T) {
	r := here(t)
	if err := r.images(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		t.Run(k.program, func(t *testing.T) {
			index, err := layout.ImageIndexFromPath(filepath.Join(r.out, "oci", k.program))
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(index); err != nil {
				t.Errorf("the layout is not valid: %v", err)
			}
			image := only(t, index)
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := config.Config.User, strconv.Itoa(k.user)+":"+strconv.Itoa(k.user); got != want {
				t.Errorf("user %q, want %q", got, want)
			}
			if len(config.Config.ExposedPorts) != 0 || len(config.Config.Cmd) != 0 {
				t.Errorf("ports %v and command %v, want none: what listens is said by whoever starts it", config.Config.ExposedPorts, config.Config.Cmd)
			}
			box := unpack(t, image)
			if out, err := box.command(t, config, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), k.program+" ") {
				t.Errorf("%s version: %v: %s", k.program, err, out)
			}
			switch k.program {
			case "lanyard":
				devStarts(t, box, config)
			case connector:
				holdsAgent(t, r, box, config)
			}
		})
	}
}

// holdsAgent wants the connector to know the agent of its own release, by name and digest.
func holdsAgent(t *testing.T, r *release, box box, config *v1.ConfigFile) {
	t.Helper()
	if out, err := box.command(t, config, "version").Output(); err != nil || strings.TrimSpace(string(out)) != connector+" "+r.version {
		t.Errorf("version: %v: %s, want %s: it is the tag of the agent's image", err, out, r.version)
	}
	agent, err := layout.ImageIndexFromPath(filepath.Join(r.out, "oci", "lanyard-agent"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := agent.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(filepath.Join(box.root, connector))
	if err != nil {
		t.Fatal(err)
	}
	if digest := manifest.Manifests[0].Digest.String(); !bytes.Contains(binary, []byte(digest)) {
		t.Errorf("the connector does not hold the agent's digest %s", digest)
	}
}

// devStarts wants `lanyard dev` to come up in an image, on loopback and nowhere else.
func devStarts(t *testing.T, box box, config *v1.ConfigFile) {
	t.Helper()
	open := box.command(t, config, "dev", "--listen", "0.0.0.0:0")
	if out, err := open.CombinedOutput(); err == nil || !strings.Contains(string(out), "loopback") {
		t.Errorf("lanyard dev --listen 0.0.0.0:0: %v: %s, want it refused", err, out)
	}
	dev := box.command(t, config, "dev", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0")
	var errs bytes.Buffer
	dev.Stderr = &errs
	out, err := dev.StdoutPipe()
	if err == nil {
		err = dev.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := ""
	for told := bufio.NewScanner(out); told.Scan(); {
		seen += told.Text() + "\n"
		if strings.Contains(told.Text(), "refused: ResourceNotFoundException") { // the end of the walk-through
			break
		}
	}
	err = errors.Join(dev.Process.Signal(os.Interrupt), dev.Wait())
	if err != nil || !strings.Contains(seen, "lanyard dev is ready: http://127.0.0.1:") || !strings.Contains(seen, "infra-lower-c65432gh") {
		t.Errorf("lanyard dev: %v\n%s%s", err, seen, errs.String())
	}
}

// only is the one image of the one index in a layout.
func only(t *testing.T, index v1.ImageIndex) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err == nil {
		index, err = index.ImageIndex(manifest.Manifests[0].Digest)
	}
	if err == nil {
		manifest, err = index.IndexManifest()
	}
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%v, %+v, want one image", err, manifest)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// box is an unpacked image.
type box struct{ root string }

func unpack(t *testing.T, image v1.Image) box {
	t.Helper()
	b := box{t.TempDir()}
	if err := errors.Join(os.Chmod(b.root, 0o755), os.Mkdir(filepath.Join(b.root, "dev"), 0o755), os.WriteFile(filepath.Join(b.root, "dev", "null"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(image)
	for in := tar.NewReader(files); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			if err := files.Close(); err != nil {
				t.Fatal(err)
			}
			return b
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(b.root, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(to, 0o700)
		} else {
			var body []byte
			if body, err = io.ReadAll(in); err == nil {
				err = os.WriteFile(to, body, 0o600)
			}
		}
		if err == nil {
			err = os.Chmod(to, header.FileInfo().Mode().Perm())
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(to, header.Uid, header.Gid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// command runs the entry point in the image, as its user and with nothing of this machine but its network and, as every
// container has it, /dev/null. Who is not root here is so in a user namespace, and nobody else.
func (b box) command(t *testing.T, config *v1.ConfigFile, args ...string) *exec.Cmd {
	enter, user := []string{"--mount"}, config.Config.User
	if os.Geteuid() != 0 {
		enter, user = append(enter, "--map-root-user"), "0:0"
	}
	const inside = `mount --bind /dev/null "$0/dev/null" && root=$0 user=$1 && shift && exec chroot --userspec="$user" "$root" "$@"`
	argv := append(enter, "sh", "-c", inside, b.root, user)
	cmd := exec.CommandContext(t.Context(), "unshare", append(append(argv, config.Config.Entrypoint...), args...)...)
	cmd.Env = append(config.Config.Env, "PATH="+os.Getenv("PATH"))
	return cmd
}
