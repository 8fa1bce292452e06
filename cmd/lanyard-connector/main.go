// Command lanyard-connector is a cluster's side of Lanyard: it gives new pods what they find their credentials with, tells
// the server the cluster's signing keys and its deleted pods, and applies add-ons.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// What `-ldflags -X` sets in a release. The agent that add-ons run is of the connector's own build.
var (
	build       string // the tag of the images
	agentDigest string // of the agent's image, sha256:…
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "lanyard-connector: %v\n", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:           "lanyard-connector",
		Short:         "Connect this cluster to Lanyard",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd, s.verbosity)
			if err != nil {
				return err
			}
			return s.serve(cmd.Context(), log)
		},
	}
	s.flags(root.Flags())
	root.AddCommand(newVersion())
	return root
}

func newLogger(cmd *cobra.Command, verbosity string) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(verbosity)); err != nil {
		return nil, fmt.Errorf("verbosity %q: debug, info, warn and error are accepted", verbosity)
	}
	out, options := cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return slog.New(slog.NewTextHandler(out, options)), nil
		}
	}
	return slog.New(slog.NewJSONHandler(out, options)), nil
}

var notInTags = regexp.MustCompile(`[^\w.-]`)

// version is the tag of the images of this build: what the release was called, or else what the toolchain knows.
func version() string {
	name := build
	if info, ok := debug.ReadBuildInfo(); ok && name == "" {
		name = info.Main.Version
	}
	if name == "" || name == "(devel)" {
		return "devel"
	}
	return notInTags.ReplaceAllString(name, "-") // a build's metadata begins with +, which no tag may have
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lanyard-connector %s\n", version())
			return err
		},
	}
}
