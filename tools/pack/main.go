// Command pack makes what a release consists of, from the sources around it and with the Go toolchain alone: archives with
// checksums and bills of materials, and images of the OCI image layout (https://github.com/opencontainers/image-spec).
// What it writes depends on the commit, on its time and on the toolchain, and on nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pack: %v\n", err)
		os.Exit(1)
	}
}

// run takes what to make, the folder of the sources, and the folder to write to; or an image's name, its archive, and what
// is in it.
func run(ctx context.Context, args []string) error {
	if len(args) == 4 && args[0] == "image" {
		return one(args[1], args[2], args[3])
	}
	if len(args) != 3 {
		return errors.New("usage: pack archives|images SOURCES OUT, or pack image NAME OUT.tar PROGRAM|LAYER.tar")
	}
	r, err := newRelease(ctx, args[1], args[2])
	if err != nil {
		return err
	}
	switch args[0] {
	case "archives":
		return r.archives(ctx)
	case "images":
		return r.images(ctx)
	}
	return fmt.Errorf("%q: archives and images are accepted", args[0])
}

// platform is what a binary runs on.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

// targets says which programs an archive has. Agent and connector are for clusters, whose nodes are of Linux.
var targets = []struct {
	platform
	programs []string
}{
	{platform{"linux", "amd64"}, []string{"lanyard", "lanyard-agent", connector}},
	{platform{"linux", "arm64"}, []string{"lanyard", "lanyard-agent", connector}},
	{platform{"darwin", "amd64"}, []string{"lanyard"}},
	{platform{"darwin", "arm64"}, []string{"lanyard"}},
}

// newRelease asks git what this is. A version is a tag, or what git describes a commit as.
func newRelease(ctx context.Context, sources, out string) (*release, error) {
	sources, err := filepath.Abs(sources)
	if err != nil {
		return nil, err
	}
	r := &release{sources: sources, out: out, platforms: imagePlatforms}
	if r.version, err = r.output(ctx, "git", "describe", "--tags", "--always", "--dirty"); err != nil {
		return nil, err
	}
	r.version = strings.TrimPrefix(r.version, "v")
	if r.revision, err = r.output(ctx, "git", "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	seconds, err := r.output(ctx, "git", "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return nil, err
	}
	if r.time, err = unix(seconds); err != nil {
		return nil, err
	}
	return r, os.MkdirAll(out, 0o755)
}
