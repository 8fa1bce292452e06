package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"

	"github.com/openlanyard/lanyard/gateway"
)

const (
	// storeRegion is the region that the embedded server checks signatures for. Nobody but the gateway signs to it.
	storeRegion = "us-east-1"
	// storeKeyID stays the same over restarts because the server writes it into each bucket as its owner. The secret
	// beside it is new at every start and never leaves the process.
	storeKeyID = "lanyard"
	// storeSocket is relative to the objects folder, which is the working directory while the server runs: a unix
	// socket's path may have 107 bytes only, and the state folder's path may be longer than that.
	storeSocket = "../s3.sock"
)

// ObjectStore is the object store of `lanyard dev`: an S3 server over a folder, behind a unix socket that only this user
// can open, with one key that only this process knows.
//
// The library keeps globals and moves the process's working directory into the objects folder, so there is one ObjectStore
// per process and every path that the process opens while it runs has to be absolute.
type ObjectStore struct {
	Upstream gateway.Upstream

	stop      context.CancelFunc
	done      chan error
	transport *http.Transport
	closed    bool
	err       error
}

// StartS3 serves the folder dir/objects and returns once requests are accepted. dir is absolute. Metadata lies in
// extended attributes where the file system has them, else in dir/meta; the first start decides for good, because
// neither form reads the other.
func StartS3(ctx context.Context, dir string) (*ObjectStore, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("the object store's folder %q is relative: the server changes the working directory", dir)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	store, err := openObjects(dir)
	if err != nil {
		return nil, err
	}
	secret := rand.Text()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &ObjectStore{stop: stop, done: make(chan error, 1), transport: storeTransport()}
	s.Upstream = gateway.Upstream{
		URL:             &url.URL{Scheme: "http", Host: "objects.invalid"}, // the transport ignores the name
		Transport:       s.transport,
		AccessKeyID:     storeKeyID,
		SecretAccessKey: secret,
		Region:          storeRegion,
	}
	listening := make(chan struct{})
	config := &embedgw.Config{
		RootUserAccess: storeKeyID,
		RootUserSecret: secret,
		Region:         storeRegion,
		Ports:          []string{storeSocket},
		SocketPerm:     "0600",
		MaxConnections: 4096,
		MaxRequests:    4096,
		// S3's own bound.
		MultipartMaxParts: 10000,
		Quiet:             true,
		KeepAlive:         true,
		// Access is decided by the gateway alone: what a bucket says about it must not count.
		DisableACLs: true,
		IAMService:  auth.NewIAMServiceSingle(auth.Account{Access: storeKeyID, Secret: secret, Role: auth.RoleAdmin}),
		S3Options:   []s3api.Option{s3api.WithOnListen(func() { close(listening) })},
	}
	go func() { s.done <- embedgw.RunVersityGW(running, store, config) }()
	select {
	case <-listening:
		return s, nil
	case err := <-s.done:
		stop()
		return nil, fmt.Errorf("starting the object store: %w", err)
	}
}

// Close stops the server and waits for it. It may be called twice.
func (s *ObjectStore) Close() error {
	if s.closed {
		return s.err
	}
	s.closed = true
	s.transport.CloseIdleConnections() // the server waits for its connections
	s.stop()
	if err := <-s.done; err != nil {
		s.err = fmt.Errorf("stopping the object store: %w", err)
	}
	return s.err
}

// storeTransport dials the socket whatever the URL's host says.
func storeTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", storeSocket)
		},
		DisableCompression:    true,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   64,
	}
}

// openObjects makes the folders and opens them with the kind of metadata that the first start chose.
func openObjects(dir string) (*posix.Posix, error) {
	objects, sidecar, versions := filepath.Join(dir, "objects"), filepath.Join(dir, "meta"), filepath.Join(dir, "versions")
	for _, folder := range []string{objects, sidecar, versions} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("making the object store's folders: %w", err)
		}
	}
	kind, err := metadataKind(dir, objects)
	if err != nil {
		return nil, err
	}
	options := posix.PosixOpts{
		VersioningDir: versions,
		// Zero would refuse every copy.
		CopyObjectThreshold: 5 << 30,
		// This process is the only writer.
		ForceNoObjLockFile:  true,
		ValidateBucketNames: true,
	}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	var storer meta.MetadataStorer = meta.XattrMeta{}
	if kind == "sidecar" {
		options.SideCarDir = sidecar
		if storer, err = meta.NewSideCar(sidecar); err != nil {
			return nil, fmt.Errorf("opening the metadata folder: %w", err)
		}
	}
	store, err := quietly(func() (*posix.Posix, error) { return posix.New(objects, storer, options) })
	if err != nil {
		return nil, fmt.Errorf("opening the object store: %w", err)
	}
	return store, forgetHalfMade(objects, storer)
}

// forgetHalfMade removes the empty folders of buckets that a killed process was making: a bucket is its folder and then
// its metadata, and the library neither serves nor makes one that has no metadata. The storer looks in the working
// directory, which is objects by now.
func forgetHalfMade(objects string, storer meta.MetadataStorer) error {
	entries, err := os.ReadDir(objects)
	if err != nil {
		return fmt.Errorf("looking for half-made buckets: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue // no bucket
		}
		if _, err := storer.RetrieveAttribute(nil, e.Name(), "", "acl"); !errors.Is(err, meta.ErrNoSuchKey) {
			continue
		}
		err := os.Remove(filepath.Join(objects, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrExist) { // one that is not empty is somebody's
			return fmt.Errorf("removing a half-made bucket: %w", err)
		}
	}
	return nil
}

// metadataKind returns "xattr" or "sidecar": what dir/metadata says, or else what a probe finds, which is then written
// there.
func metadataKind(dir, objects string) (string, error) {
	file := filepath.Join(dir, "metadata")
	text, err := os.ReadFile(file) //nolint:gosec // a name of our own in the user's state folder
	switch kind := strings.TrimSpace(string(text)); {
	case err == nil && (kind == "xattr" || kind == "sidecar"):
		return kind, nil
	case err == nil:
		return "", fmt.Errorf("%s says %q: xattr or sidecar is accepted", file, kind)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("reading the kind of object metadata: %w", err)
	}
	kind := "xattr"
	if err := (meta.XattrMeta{}).Test(objects); err != nil {
		kind = "sidecar"
	}
	if err := Replace(file, []byte(kind+"\n")); err != nil { // whole, or not at all: a first start may be cut short
		return "", fmt.Errorf("remembering the kind of object metadata: %w", err)
	}
	return kind, nil
}

// quietly runs open with standard output closed to it: the library prints its folders there, and the output of
// `lanyard dev` is read by people and tests. It is called before anything else of dev prints.
func quietly(open func() (*posix.Posix, error)) (*posix.Posix, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the null device: %w", err)
	}
	stdout := os.Stdout
	os.Stdout = null
	store, err := open()
	os.Stdout = stdout
	return store, errors.Join(err, null.Close())
}
