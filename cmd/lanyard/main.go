// Command lanyard is the control plane, the laptop mode and the CLI of Lanyard; each verb has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
)

// status is an error that is only an exit status: of a command that `exec` ran.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func main() {
	os.Exit(run())
}

// run returns the exit status.
func run() int {
	uuid.EnableRandPool() // ids in records and answers: no secrets, and five in each pod's credentials
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var started bool
	err := root(&started).ExecuteContext(ctx)
	logs.Flush()
	var exit status
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintf(os.Stderr, "lanyard: %v\n", err)
	if fault.Is(err, fault.Invalid) || !started { // what was asked makes no sense
		return 2
	}
	return 1
}

// root sets started once a verb is called as it has to be.
func root(started *bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "lanyard",
		Short:         "EKS Pod Identity for any Kubernetes cluster",
		SilenceErrors: true,
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	cmd.AddCommand(newDev(), newEnv(), newExec(), newInit(), newServer(), newGateway(), newRecover(), newStatus(), newAccount(), newCluster(), newJoin(), newLeave(), newRevoke(), newPolicy(), newWhoCan(), newCanReach(), newAudit(), newConsole(), newVersion())
	for _, verb := range verbs(cmd) {
		do := verb.RunE
		verb.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return do(cmd, args)
		}
	}
	return cmd
}

// verbs are the commands below cmd that do something.
func verbs(cmd *cobra.Command) []*cobra.Command {
	var found []*cobra.Command
	for _, c := range cmd.Commands() {
		if c.RunE != nil {
			found = append(found, c)
		}
		found = append(found, verbs(c)...)
	}
	return found
}

// group is a noun that verbs are for. Alone it shows them; any other word is refused.
func group(noun, short string) *cobra.Command {
	return &cobra.Command{Use: noun, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
}

// require makes flags required that a verb has just declared.
func require(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err) // a name that the verb does not declare: a broken program
		}
	}
}
