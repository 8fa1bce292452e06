package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sockets returns this process's sockets of any family, by inode: TCP, UDP and unix, listening or not.
func sockets(t *testing.T) map[string]string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		t.Fatalf("reading /proc/self/fd: %v", err)
	}
	mine := map[string]string{}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:[") {
			mine[strings.Trim(target[len("socket:"):], "[]")] = "unknown"
		}
	}
	for _, family := range []string{"tcp", "tcp6", "udp", "udp6", "unix"} {
		table, err := os.ReadFile("/proc/self/net/" + family)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			for _, word := range strings.Fields(line) {
				if _, ok := mine[word]; ok {
					mine[word] = fmt.Sprintf("%s %s", family, strings.TrimSpace(line))
				}
			}
		}
	}
	return mine
}

func TestEmbeddedMemberHasNoSocket(t *testing.T) {
	before := sockets(t)
	book := fresh(t)
	book.put(t, "x", &note{})
	for inode, line := range sockets(t) {
		if _, old := before[inode]; !old {
			t.Errorf("the store opened a socket: %s", line)
		}
	}
	etcd := startChild(t, "etcd", filepath.Join(t.TempDir(), "etcd"))
	open(t, Config{Endpoints: etcd.line(t, "address"), MasterKey: NewMasterKey()})
	if after := sockets(t); len(after) <= len(before) {
		t.Errorf("the connection to an external etcd is not seen: got %d sockets, had %d", len(after), len(before))
	}
}
