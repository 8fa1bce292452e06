package main

import (
	"errors"
	"net"
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

// steer gives new connections of a shared address to one of its sockets, by their order, or with a number that none has to any of
// them as before (SO_ATTACH_REUSEPORT_CBPF in socket(7)). A kernel that cannot goes on as before.
func steer(l net.Listener, socket uint32) {
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: socket}}
	onSocket(l, func(fd int) {
		_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
}

// unsteer takes back what an agent that has ended may have left upon the address.
func unsteer(l net.Listener) {
	onSocket(l, func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 1) })
}

// onSocket calls with the listener's descriptor, and reports whether it has one still.
func onSocket(l net.Listener, call func(fd int)) bool {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false // closed already
	}
	return raw.Control(func(fd uintptr) { call(int(fd)) }) == nil
}

// endIfIdle ends a listener for new connections if none waits to be accepted, and reports whether it did: Close alone resets all
// that waits.
func endIfIdle(l net.Listener) (ended bool) {
	there := onSocket(l, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		// Of a listener it counts those that wait (tcp_get_info in the kernel's net/ipv4/tcp.c).
		if ended = err != nil || info.Unacked == 0; ended {
			_ = unix.Shutdown(fd, unix.SHUT_RD) // nobody waits: what fails here is done by Close
		}
	})
	return ended || !there
}
