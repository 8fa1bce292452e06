package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version())
			return err
		},
	}
}

// version is the module's version as the build recorded it, with the Go release and the platform.
func version() string {
	return fmt.Sprintf("lanyard %s %s %s/%s", firstOf(moduleVersion(), "devel"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// moduleVersion is empty where the build recorded none.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return ""
}
