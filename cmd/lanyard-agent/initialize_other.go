//go:build !linux

package main

import (
	"context"
	"errors"
	"log/slog"
)

func initialize(context.Context, *slog.Logger) error {
	return errors.New("initialize works on Linux only")
}
