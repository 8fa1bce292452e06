package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort lets another socket of the same user have the same address (socket(7), SO_REUSEPORT).
func sharePort(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, failed)
}

// migration makes the kernel hand the connections that a closed listener has not accepted yet to another one on its address
// (https://docs.kernel.org/networking/ip-sysctl.html, tcp_migrate_req; since Linux 5.14). Without it they are reset.
const migration = "/proc/sys/net/ipv4/tcp_migrate_req"

// handsOver reports, as an error, why the kernel would not.
func handsOver() error {
	value, err := os.ReadFile(migration)
	if err == nil && string(bytes.TrimSpace(value)) != "1" {
		err = fmt.Errorf("%s is not 1: `lanyard-agent initialize` sets it", migration)
	}
	return err
}

func setHandsOver() error { return os.WriteFile(migration, []byte("1"), 0) }
