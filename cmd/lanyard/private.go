package main

import (
	"io/fs"
	"os"
	"syscall"
)

// isPrivate reports whether a file is for this process alone. A Kubernetes Secret in a pod belongs to root and is readable
// by the group that the pod was given (fsGroup): no process but root can change that, and the pod has no one else in it.
func isPrivate(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return true
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	return known && mode&0o037 == 0 && owner.Uid == 0 && os.Geteuid() != 0 && int(owner.Gid) == os.Getegid()
}
