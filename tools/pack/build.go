package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// release is what is packed.
type release struct {
	sources           string // the folder of the module
	out               string
	version, revision string
	time              time.Time  // of the commit; everything that is written bears it
	platforms         []platform // of the images
}

func unix(seconds string) (time.Time, error) {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the commit's time %q: %w", seconds, err)
	}
	return time.Unix(n, 0).UTC(), nil
}

// output runs a program in the folder of the sources.
func (r *release) output(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var errs bytes.Buffer
	cmd.Dir, cmd.Stderr = r.sources, &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// build compiles a program as `make build` does: static, without the paths of this machine. It returns the binary. The
// connector is told the release's name, which is the tag of the agent's image; further variables are name=value.
func (r *release) build(ctx context.Context, p platform, program string, variables ...string) (binary []byte, err error) {
	folder, err := os.MkdirTemp("", "pack-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, program)
	flags := "-s -w"
	if program == connector {
		variables = append(variables, "main.build="+r.version)
	}
	for _, v := range variables {
		flags += " -X " + v
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", file, "./cmd/"+program)
	cmd.Dir, cmd.Stderr = r.sources, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOFLAGS=", "GOWORK=off")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building %s for %s: %w", program, p, err)
	}
	return os.ReadFile(file)
}
