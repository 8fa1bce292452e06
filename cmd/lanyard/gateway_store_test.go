package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/openlanyard/lanyard/dev"
)

// objectStore is a program: the S3 server that is in `lanyard dev`, versitygw, behind TLS on a port of its own. It prints its
// address and key, and ends with its input.
func objectStore() {
	err := func() error {
		dir, certFile, keyFile := os.Args[1], os.Args[2], os.Args[3]
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return err
		}
		store, err := dev.StartS3(context.Background(), dir)
		if err != nil {
			return err
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			return err
		}
		go pipeAll(l, store.Upstream.Transport.(*http.Transport))
		err = json.NewEncoder(os.Stdout).Encode([]string{l.Addr().String(), store.Upstream.AccessKeyID, store.Upstream.SecretAccessKey})
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that matters
		return errors.Join(err, l.Close())
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pipeAll hands each connection's bytes on, as they are.
func pipeAll(l net.Listener, to *http.Transport) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := to.DialContext(context.Background(), "", "")
			if err != nil {
				return
			}
			defer out.Close()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }() // either side may be gone
			_, _ = io.Copy(in, out)
		}()
	}
}

// startObjectStore returns the address of a store whose key is the site's upstream key.
func (s *site) startObjectStore() string {
	s.Helper()
	dir := s.file("objects")
	s.must(os.Mkdir(dir, 0o700))
	cmd := exec.Command("object-store", dir, s.file("server/tls.pem"), s.file("server/tls.key"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	s.must(err)
	out, err := cmd.StdoutPipe()
	s.must(err)
	s.must(cmd.Start())
	s.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			s.Errorf("the object store: %v", err)
		}
	})
	var at []string
	s.must(json.NewDecoder(out).Decode(&at))
	s.must(os.Remove(s.file("upstream.env")))
	writeKeyFile(s.T, s.file("upstream.env"), at[1], at[2])
	return "https://" + at[0]
}

// TestGatewayBeforeAStoreOfItsOwn has AWS's SDK work with an object store of another make, versitygw, through a gateway: three
// processes and two kinds of TLS.
func TestGatewayBeforeAStoreOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	at := s.startObjectStore()
	s.must(s.makeRole("owner", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::mine","arn:aws:s3:::mine/*"]}}`))
	_, err := s.makeAssociation("dev", "shop/web", "owner")
	s.must(err)
	s.pod("pod", "shop/web")
	as := []string{"--key-file", s.file("server/administrator.env"), "--upstream", at}
	bucket, key := aws.String("mine"), aws.String("deep/ünï code.bin")

	// A store whose certificate is of no CA that the gateway knows gets no request.
	g := s.startGateway(as...)
	s.wait(s.ready, "the gateway is not ready")
	_, err = s.sdk("pod", s.wire).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket})
	s.refused("an unknown CA", err, "ServiceUnavailable")
	s.wait(func() bool { return strings.Contains(g.err.String(), "certificate") }, "the gateway does not log that the certificate is wrong")
	s.must(g.stop())

	s.startGateway(append(as, "--upstream-ca", s.file("server/ca.pem"))...)
	s.wait(s.ready, "the gateway is not ready")
	client := s.sdk("pod", s.wire)
	_, err = client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket})
	s.must(err)
	text := pattern[:300_000]
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(text), Metadata: map[string]string{"team": "pay"}})
	s.must(err)
	got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	s.must(err)
	back, err := io.ReadAll(got.Body)
	s.must(errors.Join(err, got.Body.Close()))
	if !bytes.Equal(back, text) || got.Metadata["team"] != "pay" {
		t.Errorf("got %d bytes and %v, want the %d that were put", len(back), got.Metadata, len(text))
	}
	part, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=10-19")})
	s.must(err)
	back, err = io.ReadAll(part.Body)
	s.must(errors.Join(err, part.Body.Close()))
	if !bytes.Equal(back, text[10:20]) {
		t.Errorf("a range: got %q", back)
	}
	large := &sink{size: 12 << 20, part: 5 << 20}
	s.must(uploadInParts(t.Context(), client, bucket, aws.String("parts"), large))
	whole, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("parts")})
	s.must(err)
	s.must(errors.Join((&content{size: large.size}).whole(whole.Body), whole.Body.Close()))
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket})
	s.must(err)
	if len(list.Contents) != 2 || aws.ToString(list.Contents[0].Key) != *key {
		t.Errorf("listed %d objects", len(list.Contents))
	}
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	s.must(err)
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	s.refused("deleted", err, "NoSuchKey")
	_, err = client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("another")})
	s.refused("another bucket", err, "AccessDenied")
}

func (s *site) refused(when string, err error, code string) {
	s.Helper()
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != code {
		s.Errorf("%s: got %v, want %s", when, err, code)
	}
}

// TestTwoGatewaysOfOneName would overwrite each other's audit head: the second waits, says why, and serves when the first is
// gone. One of another name does not wait.
func TestTwoGatewaysOfOneName(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	as := []string{"--key-file", s.file("server/administrator.env")}
	first := s.startGateway(as...)
	s.wait(s.ready, "the first gateway is not ready")
	second := s.startGateway(append(as, "--audit-dir", s.file("another-audit"))...)
	s.wait(func() bool {
		return strings.Contains(second.err.String(), `another gateway named \"gw-1\" is running`)
	}, "the second gateway does not say what it waits for")
	if s.ready() {
		t.Error("two gateways of one name are ready")
	}
	waiting := s.gate.endpoint
	third := s.startGateway(append(as, "--audit-dir", s.file("third-audit"), "--name", "gw-2")...)
	s.wait(s.ready, "a gateway of another name is not ready")
	s.must(third.stop())
	s.must(first.stop())
	s.gate.endpoint = waiting
	s.wait(s.ready, "the second gateway is not ready after the first has ended")
	s.must(second.stop())
}
