// Command lanyard-agent is the credentials endpoint of a node, one per node of a cluster. Its flags are those of AWS's
// agent (https://github.com/aws/eks-pod-identity-agent), so that its Helm values fit.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// gcPercent collects garbage at less than half of what lives: the agent stands on every node, so its memory counts more than a little
// of its time.
const gcPercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "lanyard-agent: %v\n", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var verbosity string
	root := &cobra.Command{
		Use:           "lanyard-agent",
		Short:         "Serve pods of this node their credentials",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVarP(&verbosity, "verbosity", "v", "info", "log level: debug, info, warn or error (panic, fatal and trace are accepted as the nearest)")
	logger := func(cmd *cobra.Command) (*slog.Logger, error) {
		level, err := parseLevel(verbosity)
		if err != nil {
			return nil, err
		}
		out, options := cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}
		if f, ok := out.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				return slog.New(slog.NewTextHandler(out, options)), nil
			}
		}
		return slog.New(slog.NewJSONHandler(out, options)), nil
	}
	root.AddCommand(newServer(logger), newInitialize(logger), newProbe(), newVersion())
	return root
}

// parseLevel takes the names of AWS's agent too.
func parseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace", "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error", "fatal", "panic":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("verbosity %q: debug, info, warn and error are accepted", name)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lanyard-agent %s\n", version)
			return err
		},
	}
}
