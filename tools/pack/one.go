package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// one writes an image for this machine's kind under a name, which tests give to a node. It holds a static program that is
// there already, or the files of a tar archive. A program of ours gets the image that is released.
func one(name, archive, content string) (err error) {
	folder, err := os.MkdirTemp("", "pack-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	here := platform{"linux", runtime.GOARCH}
	r := &release{out: folder, version: "test", time: time.Unix(0, 0).UTC()}

	var image v1.Image
	if strings.HasSuffix(content, ".tar") {
		image, err = files(here, content)
	} else {
		var binary []byte
		if binary, err = os.ReadFile(content); err != nil {
			return err
		}
		image, err = r.image(kindOf(filepath.Base(content)), here, binary)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	packed, err := r.layout("oci", name, with(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), here, image))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(archive, packed, 0o644)
}

func kindOf(program string) kind {
	for _, k := range kinds {
		if k.program == program {
			return k
		}
	}
	return kind{program: program, title: program}
}

// files is an image of a whole root folder. Nothing is started by itself, and root is who runs in it.
func files(p platform, archive string) (v1.Image, error) {
	layer, err := tarball.LayerFromFile(archive, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = p.os, p.arch
	config.Config = v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	return mutate.ConfigFile(image, config)
}
