//go:build !linux

package main

import (
	"errors"
	"net"
	"syscall"
)

var errLinux = errors.New("--reuse-port works on Linux only")

func sharePort(string, string, syscall.RawConn) error { return errLinux }

func steer(net.Listener, uint32) {}

func unsteer(net.Listener) {}

func endIfIdle(net.Listener) bool { return true }
