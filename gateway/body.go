package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing

// upload is the content of a body on its way to the upstream. It keeps the last part back until all that the client said
// about the body is true, so that the upstream, which was promised the whole length, never has a complete body that is not
// the client's. It holds nothing else back and buffers nothing.
type upload struct {
	source  io.Reader     // of the content
	chunks  *sigv4.Chunks // the source, where it decodes chunks; nil: it is the body
	checks  []*check
	trailer *check    // the one of them that is stated at the end; nil: none
	added   hash.Hash // CRC64NVME, which S3 adds where nothing is stated: see frame
	length  int64
	left    int64 // bytes not yet passed on

	begun   atomic.Bool // something was read
	whole   atomic.Bool // the last byte was let go
	failure atomic.Pointer[error]
}

// openUpload returns the content of a request's body. One without a byte to keep back is checked at once.
func openUpload(sig *sigv4.Signature, body io.Reader, c *call) (*upload, error) {
	if !sig.Streaming() {
		return verify(body, c.length, sig.PayloadHash, c.checks...)
	}
	var trailers []string
	if c.trailer != nil {
		trailers = []string{strings.ToLower(c.trailer.header)}
	}
	chunks, err := sig.Chunks(body, c.length, trailers)
	if err != nil {
		return nil, bodyError(err)
	}
	u := &upload{source: chunks, chunks: chunks, checks: c.checks, trailer: c.trailer, length: c.length, left: c.length}
	if len(c.checks) == 0 {
		u.added = checksums[addedChecksum]()
	}
	return u, u.begin()
}

// verify returns the reader for a body of length bytes; declared is a hash in hexadecimal or sigv4.UnsignedPayload.
func verify(source io.Reader, length int64, declared string, checks ...*check) (*upload, error) {
	u := &upload{source: source, checks: checks, length: length, left: length}
	if declared != sigv4.UnsignedPayload {
		want, err := hex.DecodeString(declared)
		if err != nil {
			return nil, fault.New(fault.Invalid, "x-amz-content-sha256: %q is not hexadecimal", declared)
		}
		u.checks = append(u.checks, &check{sum: sha256.New(), want: want, wrong: bodyMismatch})
	} else if len(checks) == 0 && length > 0 {
		u.added = checksums[addedChecksum]()
	}
	return u, u.begin()
}

// nothing is the body that has not a byte.
func nothing() *upload {
	u := &upload{source: http.NoBody}
	u.whole.Store(true)
	return u
}

func (u *upload) begin() error {
	if u.left > 0 {
		return nil
	}
	err := u.finish()
	u.whole.Store(err == nil)
	return err
}

// Read implements io.Reader. It gives io.EOF when the promised length is passed on.
func (u *upload) Read(p []byte) (int, error) {
	if u.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	u.begun.Store(true)
	n, err := u.read(p)
	if err != nil {
		err = bodyError(err)
		u.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

// read holds the last part back, as much as fits into p, until it has all of it and knows that the whole is what was
// declared.
func (u *upload) read(p []byte) (int, error) {
	if u.left > int64(len(p)) {
		n, err := u.source.Read(p)
		u.sum(p[:n])
		u.left -= int64(n)
		return n, err
	}
	p = p[:u.left]
	if _, err := io.ReadFull(u.source, p); err != nil {
		return 0, err
	}
	u.sum(p)
	if err := u.finish(); err != nil {
		return 0, err
	}
	u.left = 0
	u.whole.Store(true)
	return len(p), nil
}

func (u *upload) sum(p []byte) {
	for _, c := range u.checks {
		c.sum.Write(p)
	}
	if u.added != nil {
		u.added.Write(p)
	}
}

// finish says whether the body is what the client said. All of its content was read.
func (u *upload) finish() error {
	if u.chunks != nil {
		switch _, err := u.chunks.Read(make([]byte, 1)); {
		case err == nil:
			return sigv4.ErrChunk // more content than was declared
		case !errors.Is(err, io.EOF):
			return err
		}
	}
	if u.trailer != nil {
		if err := u.trailer.state(u.chunks.Trailer(strings.ToLower(u.trailer.header))); err != nil {
			return err
		}
	}
	for _, c := range u.checks {
		if err := c.holds(); err != nil {
			return err
		}
	}
	return nil
}

// trailerLines returns the end of the body in chunks. All of the content was passed on, so the trailer is known and right.
func (u *upload) trailerLines() []byte {
	if u.trailer == nil {
		return trailerLines(checksumPrefix+addedChecksum, base64.StdEncoding.EncodeToString(u.added.Sum(nil)))
	}
	return trailerLines(u.trailer.header, u.chunks.Trailer(strings.ToLower(u.trailer.header)))
}

// failed returns what was wrong with the body, if anything was so far.
func (u *upload) failed() error {
	if err := u.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// bodyError words, as S3 does, what is wrong with a body.
func bodyError(err error) error {
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return requestTimeout.refusal()
	case errors.Is(err, sigv4.ErrChunkSize):
		return invalidChunkSize.refusal()
	case errors.Is(err, sigv4.ErrTrailer):
		return malformedTrailer.refusal()
	case errors.Is(err, sigv4.ErrChunk):
		return refuse(incompleteBody, "The request body terminated unexpectedly")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, http.ErrBodyReadAfterClose):
		return incompleteBody.refusal()
	}
	return err
}
