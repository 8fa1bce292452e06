// Command lanyard is the control plane, the laptop mode and the CLI of Lanyard; each verb has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
)

// status is an error that is only an exit status: of a command that `exec` ran.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func main() {
	syscall.Umask(0o077) // libraries that make files do not ask who may read them
	os.Exit(run())
}

// run returns the exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	var exit status
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintf(os.Stderr, "lanyard: %v\n", err)
	if fault.Is(err, fault.Invalid) {
		return 2
	}
	return 1
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "lanyard",
		Short:         "EKS Pod Identity for any Kubernetes cluster",
		SilenceErrors: true,
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	cmd.AddCommand(newDev(), newEnv(), newExec(), newInit(), newServer(), newRecover(), newStatus(), newAccount(), newCluster(), newRevoke(), newVersion())
	return cmd
}

// newLogger logs to stderr: text on a terminal, JSON elsewhere.
func newLogger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}
