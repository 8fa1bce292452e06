package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// awaitInit waits until `lanyard init` has made the folder: in a cluster the two begin at the same moment.
func awaitInit(ctx context.Context, d serverDir) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(d.file(configFile)); !errors.Is(err, fs.ErrNotExist) {
			return nil // there, or something that openServerDir says better
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
