package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is who lanyard runs as: a number, so that Kubernetes can tell that it is not root without a file of users.
const nobody = 65532

// kind is one image: a program, the certificates of the public CAs, and nothing else.
type kind struct {
	program string
	user    int
	home    string // a folder of the user's, for the state
	title   string
}

// kinds are the images. The agent is root: it listens on port 80 of a link-local address, which `initialize` gives to the
// node with CAP_NET_ADMIN; deployments take all other capabilities away.
var kinds = []kind{
	{"lanyard", nobody, "var/lib/lanyard/", "Lanyard: server, gateway, dev and the command line"},
	{"lanyard-agent", 0, "", "Lanyard's agent: the credentials endpoint of a node"},
	{connector, nobody, "", "Lanyard's connector: a cluster's keys, webhook and add-ons"}, // after the agent, whose digest it holds
}

// connector installs the agent of its own build, by tag and digest: a registry cannot give a cluster another one.
const connector = "lanyard-connector"

// imagePlatforms are those that an image's index has.
var imagePlatforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}}

// images writes each image for all platforms, as a folder of the OCI layout and as an archive of it.
func (r *release) images(ctx context.Context) error {
	made, agent := map[string][]byte{}, ""
	for _, k := range kinds {
		var variables []string
		if k.program == connector {
			variables = []string{"main.agentDigest=" + agent}
		}
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, p := range r.platforms {
			binary, err := r.build(ctx, p, k.program, variables...)
			if err != nil {
				return err
			}
			image, err := r.image(k, p, binary)
			if err != nil {
				return err
			}
			index = with(index, p, image)
		}
		digest, err := index.Digest()
		if err != nil {
			return err
		}
		if k.program == "lanyard-agent" {
			agent = digest.String()
		}
		name := k.program + "-" + r.version + ".oci.tar"
		if made[name], err = r.layout(filepath.Join("oci", k.program), k.program+":"+r.version, index); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return r.write(made)
}

func with(index v1.ImageIndex, p platform, image v1.Image) v1.ImageIndex {
	return mutate.AppendManifests(index, mutate.IndexAddendum{
		Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
	})
}

// image is one program for one platform, over nothing.
func (r *release) image(k kind, p platform, binary []byte) (v1.Image, error) {
	roots, err := authorities()
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, body: roots},
	}
	if k.home != "" {
		entries = append(entries, entry{name: "var/", mode: 0o755}, entry{name: "var/lib/", mode: 0o755}, entry{name: k.home, mode: 0o700, owner: k.user})
	}
	entries = append(entries, entry{name: k.program, mode: 0o755, body: binary})
	packed, err := pack(entries, r.time)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "pack images"},
	}); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.os, p.arch, v1.Time{Time: r.time}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + k.program}, WorkingDir: "/" + k.home, User: fmt.Sprintf("%d:%d", k.user, k.user), Labels: r.labels(k),
	}
	if k.home != "" {
		config.Config.Env = []string{"HOME=/" + filepath.Clean(k.home), "LANYARD_DIR=/" + filepath.Clean(k.home)}
	}
	return mutate.ConfigFile(image, config)
}

func (r *release) labels(k kind) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title": k.title, prefix + "version": r.version, prefix + "revision": r.revision, prefix + "licenses": "Apache-2.0",
		prefix + "source": "https://github.com/openlanyard/lanyard",
	}
}

// authorities are Mozilla's, as the Go project keeps them, in the form that Go reads on Linux. The few that are trusted for
// some certificates only are left out, for a file cannot say so.
func authorities() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// layout writes the index as an OCI layout into a folder of out, and returns it as an archive. The image's name is what
// containerd gives it; its tag stands alone for those who take the name from the folder.
func (r *release) layout(folder, name string, index v1.ImageIndex) ([]byte, error) {
	folder = filepath.Join(r.out, folder)
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	at, err := layout.Write(folder, empty.Index)
	if err != nil {
		return nil, err
	}
	_, tag, _ := strings.Cut(name, ":")
	if err := at.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": name,
	})); err != nil {
		return nil, err
	}
	var entries []entry
	err = filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(file)
		entries = append(entries, entry{name: filepath.ToSlash(name), mode: 0o644, body: body})
		return err
	})
	if err != nil {
		return nil, err
	}
	// A reader that streams knows by the first file what it is reading.
	slices.SortFunc(entries, func(a, b entry) int {
		if a.name == "oci-layout" || b.name == "oci-layout" {
			return map[bool]int{true: -1, false: 1}[a.name == "oci-layout"]
		}
		return 0
	})
	return pack(entries, r.time)
}
