package clients

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// strays counts what the processes of this network namespace tried to send to an address that loopback does not have.
// The kernel counts them as packets without a route, of both versions of IP (Linux's Documentation/networking/snmp_counter.rst).
func strays() (int, error) {
	v4, err := counter("/proc/self/net/snmp", "Ip:", "OutNoRoutes")
	if err != nil {
		return 0, err
	}
	v6, err := counter("/proc/self/net/snmp6", "", "Ip6OutNoRoutes")
	return v4 + v6, err
}

// counter reads one of the kernel's counters: lines of names and of values with the same prefix, or, with no prefix,
// lines of a name and its value.
func counter(file, prefix, name string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case prefix == "" && fields[0] == name:
			return strconv.Atoi(fields[1])
		case fields[0] != prefix:
		case names == nil:
			names = fields
		default:
			for i := range min(len(names), len(fields)) {
				if names[i] == name {
					return strconv.Atoi(fields[i])
				}
			}
		}
	}
	return 0, fmt.Errorf("%s has no counter %s", file, name)
}

// stayed fails when a process tried to leave since the count was taken. It then leaves itself, once for each version of
// IP, and fails when that is not counted: a count that never moves shows nothing.
func stayed(before int) error {
	after, err := strays()
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("something tried to reach an address beyond loopback: %d packets without a route", after-before)
	}
	for _, documentation := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		at := after
		if conn, err := net.DialTimeout("tcp", documentation, time.Second); err == nil {
			return fmt.Errorf("%s answered %s: this is no namespace of its own", documentation, conn.LocalAddr())
		}
		if after, err = strays(); err != nil || after <= at {
			return fmt.Errorf("an attempt to reach %s was not counted: %v", documentation, err)
		}
	}
	return nil
}
