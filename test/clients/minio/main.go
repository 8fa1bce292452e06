// Command minio is a pod of minio-go, which has no AWS SDK inside: it tries a section's cases in order and tells each on a line
// of its own, in both of its ways to write: with a checksum at the end of a body, and without.
package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	bucket = "pod-minio-go"
	small  = "hello from a pod\n"
	reason = "No pod identity association found for service account default/stranger."
)

var (
	parts = bytes.Repeat([]byte("0123456789abcdef"), 20<<16) // 20 MiB
	ctx   = context.Background()
)

type aCase struct {
	name string
	try  func() (note string, err error)
}

func main() {
	for _, c := range map[string][]aCase{
		"version": {{"version", version}},
		"pod": {
			{"credentials by the default chain", byDefaultChain},
			{"objects", both(objects)},
			{"odd keys", both(oddKeys)},
			{"AccessDenied", both(accessDenied)},
		},
		"uploads":  {{"upload of a stream", both(stream)}, {"multipart upload", both(multipart)}, {"presigned URL", presigned}},
		"refresh":  {{"refresh across an expiry", expiry}},
		"stranger": {{"the agent's reason", stranger}},
		"plain":    {{"the reason as AWS's agent tells it", stranger}},
		"tls":      {{"own CA by the injected variables", ownCA}},
	}[os.Args[1]] {
		note, err := c.try()
		line := map[string]any{"case": c.name, "error": nil, "note": note}
		if err != nil {
			line["error"] = err.Error()
		}
		if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
			panic(err)
		}
	}
}

// pod is a client with the credentials of the environment, as programs make it that run on AWS too.
func pod(trailing bool) *minio.Client {
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL_S3"))
	if err != nil {
		panic(err)
	}
	c, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewIAM(""), Secure: endpoint.Scheme == "https", TrailingHeaders: trailing, MaxRetries: 1,
	})
	if err != nil {
		panic(err)
	}
	return c
}

// both tries a case without and with checksums at the end of bodies.
func both(try func(c *minio.Client) error) func() (string, error) {
	return func() (string, error) {
		if err := try(pod(false)); err != nil {
			return "", err
		}
		if err := try(pod(true)); err != nil {
			return "", fmt.Errorf("with TrailingHeaders: %w", err)
		}
		return "", nil
	}
}

func version() (string, error) {
	build, _ := debug.ReadBuildInfo()
	for _, m := range build.Deps {
		if m.Path == "github.com/minio/minio-go/v7" {
			return strings.TrimPrefix(m.Version, "v"), nil
		}
	}
	return "", errors.New("minio-go is not in the build")
}

func byDefaultChain() (string, error) {
	found, err := pod(false).ListBuckets(ctx)
	if err != nil {
		return "", err
	}
	for _, want := range []string{"infra-lower-c65432gh", "eks-charts-manifest-67565rr"} {
		if !slices.ContainsFunc(found, func(b minio.BucketInfo) bool { return b.Name == want }) {
			return "", fmt.Errorf("got %v, want %s among them", found, want)
		}
	}
	return "yes, by `credentials.NewIAM`; the endpoint has to be given", nil
}

func put(c *minio.Client, key, text string) error {
	_, err := c.PutObject(ctx, bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	return err
}

// holds reads an object and compares.
func holds(c *minio.Client, key string, want []byte) error {
	in, err := c.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%q: got %d bytes, want %d: %v", key, len(got), len(want), err)
	}
	return in.Close()
}

func names(c *minio.Client, prefix string) ([]string, error) {
	var found []string
	for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, MaxKeys: 2}) {
		if o.Err != nil {
			return nil, o.Err
		}
		found = append(found, o.Key)
	}
	return found, nil
}

// remove deletes what is under a prefix, in one batch.
func remove(c *minio.Client, prefix string) error {
	for failed := range c.RemoveObjects(ctx, bucket, c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}), minio.RemoveObjectsOptions{}) {
		return failed.Err
	}
	left, err := names(c, prefix)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left over: %q", left)
	}
	return err
}

func objects(c *minio.Client) error {
	_, err := c.PutObject(ctx, bucket, "a/small.txt", strings.NewReader(small), int64(len(small)), minio.PutObjectOptions{
		ContentType: "text/plain", UserMetadata: map[string]string{"Team": "pay"}, UserTags: map[string]string{"team": "pay it"},
	})
	if err == nil {
		err = holds(c, "a/small.txt", []byte(small))
	}
	if err != nil {
		return err
	}
	switch got, err := c.StatObject(ctx, bucket, "a/small.txt", minio.StatObjectOptions{}); {
	case err != nil:
		return err
	case got.ContentType != "text/plain" || got.UserMetadata["Team"] != "pay" || got.UserTagCount != 1:
		return fmt.Errorf("got %+v", got)
	}
	if err := put(c, "a/large.bin", string(parts[:3<<20])); err != nil {
		return err
	}
	if got, err := c.GetObjectAttributes(ctx, bucket, "a/large.bin", minio.ObjectAttributesOptions{}); err != nil || got.ObjectSize != 3<<20 || got.LastModified.IsZero() {
		return fmt.Errorf("attributes: got %+v: %v", got, err)
	}
	in, err := c.GetObject(ctx, bucket, "a/large.bin", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	piece := make([]byte, 100)
	if _, err := in.ReadAt(piece, 1_000_000); err != nil || !bytes.Equal(piece, parts[1_000_000:1_000_100]) {
		return fmt.Errorf("range: got %q: %v", piece, err)
	}
	if _, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "b c+d"}, minio.CopySrcOptions{Bucket: bucket, Object: "a/small.txt"}); err != nil {
		return err
	}
	if err := holds(c, "b c+d", []byte(small)); err != nil {
		return err
	}
	if err := c.RemoveObject(ctx, bucket, "b c+d", minio.RemoveObjectOptions{}); err != nil {
		return err
	}
	got, err := names(c, "a/")
	if err != nil || !slices.Equal(got, []string{"a/large.bin", "a/small.txt"}) {
		return fmt.Errorf("keys: got %q: %v", got, err)
	}
	return remove(c, "a/")
}

func oddKeys(c *minio.Client) error {
	var keys []string
	if err := json.Unmarshal([]byte(os.Getenv("TRIED_ODD_KEYS")), &keys); err != nil {
		return err
	}
	for _, key := range keys {
		if err := put(c, "odd/"+key, key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if err := holds(c, "odd/"+key, []byte(key)); err != nil {
			return err
		}
	}
	if got, err := names(c, "odd/"); err != nil || len(got) != len(keys) {
		return fmt.Errorf("got %q, want %q: %v", got, keys, err)
	}
	return remove(c, "odd/")
}

func accessDenied(c *minio.Client) error {
	deleted := make(chan minio.ObjectInfo, 1)
	deleted <- minio.ObjectInfo{Key: "secret/x"}
	close(deleted)
	for action, err := range map[string]error{
		"s3:PutObject": put(c, "secret/x", small),
		"s3:GetObject": holds(c, "secret/x", nil),
		"s3:ListBucket": func() error {
			for o := range c.ListObjects(ctx, "infra-lower-c65432gh", minio.ListObjectsOptions{}) {
				return o.Err
			}
			return nil
		}(),
		"s3:DeleteObject": (<-c.RemoveObjects(ctx, bucket, deleted, minio.RemoveObjectsOptions{})).Err,
	} {
		if err == nil || !strings.Contains(err.Error(), action) {
			return fmt.Errorf("got %v, want to be refused %s", err, action)
		}
	}
	return nil
}

// stream hides of a reader that it can be gone back in, and how much it has.
func stream(c *minio.Client) error {
	if _, err := c.PutObject(ctx, bucket, "stream", struct{ io.Reader }{strings.NewReader(small)}, -1, minio.PutObjectOptions{}); err != nil {
		return err
	}
	return holds(c, "stream", []byte(small))
}

func multipart(c *minio.Client) error {
	for key, options := range map[string]minio.PutObjectOptions{
		"parts":            {PartSize: 5 << 20},
		"parts-md5":        {PartSize: 5 << 20, SendContentMd5: true},
		"parts-concurrent": {PartSize: 5 << 20, ConcurrentStreamParts: true, NumThreads: 2},
	} {
		if _, err := c.PutObject(ctx, bucket, key, struct{ io.Reader }{bytes.NewReader(parts)}, int64(len(parts)), options); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if err := holds(c, key, parts); err != nil {
			return err
		}
	}
	return remove(c, "parts")
}

func presigned() (string, error) {
	c := pod(false)
	if err := put(c, "small.txt", small); err != nil {
		return "", err
	}
	link, err := c.PresignedGetObject(ctx, bucket, "small.txt", time.Minute, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.Get(link.String())
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil || string(got) != small {
		return "", fmt.Errorf("got %d %q: %v", answer.StatusCode, got, err)
	}
	return "", nil
}

// expiry writes for longer than a session lasts, and is never refused.
func expiry() (string, error) {
	seconds, err := strconv.Atoi(os.Getenv("TRIED_SESSION_SECONDS"))
	if err != nil {
		return "", err
	}
	c := pod(true)
	for until := time.Now().Add(time.Duration(seconds+5) * time.Second); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		if err := put(c, "short", small); err != nil {
			return "", err
		}
	}
	return "", nil
}

func stranger() (string, error) {
	switch err := put(pod(false), "x", small); {
	case err == nil:
		return "", errors.New("a pod without an association got credentials")
	case strings.Contains(err.Error(), reason):
		return "shown", nil
	case strings.Contains(err.Error(), "404"):
		return "lost by the library", nil
	default:
		return "", err
	}
}

func ownCA() (string, error) {
	err := put(pod(false), "secured", small)
	if unknown := new(x509.UnknownAuthorityError); errors.As(err, unknown) {
		return "no: `SSL_CERT_FILE`", nil
	}
	return "", err
}
