//go:build !linux

package main

import (
	"errors"
	"time"
)

var errLinuxOnly = errors.New("the CPU time of another process is measured on Linux only")

func cpu(int) (time.Duration, error) { return 0, errLinuxOnly }

type places struct{}

func findPlaces() (places, error) { return places{}, errLinuxOnly }

func (*places) onServers(func() error) error { return errLinuxOnly }

func (*places) move(bool) error { return errLinuxOnly }

func resident(int) (float64, error) { return 0, errLinuxOnly }
