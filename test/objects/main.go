// Command objects is an object store of another make for tests, as a process of its own: the S3 server that is in `lanyard
// dev`, behind TLS. It writes its access key to a file as `lanyard gateway` reads one, logs its address, and ends when it is
// told to.
//
//	objects DIR CERTIFICATE KEY KEYFILE ADDRESS:PORT
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/openlanyard/lanyard/dev"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "objects: %v\n", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return errors.New("DIR CERTIFICATE KEY KEYFILE ADDRESS:PORT are accepted")
	}
	cert, err := tls.LoadX509KeyPair(args[1], args[2])
	if err != nil {
		return err
	}
	store, err := dev.StartS3(ctx, args[0])
	if err != nil {
		return err
	}
	key := fmt.Sprintf("AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n", store.Upstream.AccessKeyID, store.Upstream.SecretAccessKey)
	if err := os.WriteFile(args[3], []byte(key), 0o600); err != nil {
		return err
	}
	l, err := tls.Listen("tcp", args[4], &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	go accept(l, store.Upstream.Transport.(*http.Transport))
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("serving", "address", l.Addr().String())
	<-ctx.Done()
	return l.Close()
}

// accept hands each connection's bytes on as they are: signatures are over the host that the client has called.
func accept(l net.Listener, to *http.Transport) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go pipe(in, to)
	}
}

func pipe(in net.Conn, to *http.Transport) {
	defer in.Close()
	out, err := to.DialContext(context.Background(), "", "")
	if err != nil {
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }() // either side may be gone
	_, _ = io.Copy(in, out)
}
