package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing

// verified passes a body of known length on and compares its hash with the declared one. It keeps the last byte back
// until the hash is right, so that the upstream, which was promised the whole length, never has a complete body that is
// not the signed one. It holds nothing else back and buffers nothing.
type verified struct {
	source io.Reader
	sum    hash.Hash
	want   []byte
	left   int64 // bytes not yet passed on
}

// verify returns the reader for a body of length bytes; declared is a hash in hexadecimal or sigv4.UnsignedPayload. A body without a byte to keep back is checked at once.
func verify(source io.Reader, length int64, declared string) (io.Reader, error) {
	if length == 0 {
		if declared != emptyHash && declared != sigv4.UnsignedPayload {
			return nil, bodyMismatch.refusal()
		}
		return http.NoBody, nil
	}
	if declared == sigv4.UnsignedPayload {
		return source, nil
	}
	want, err := hex.DecodeString(declared)
	if err != nil {
		return nil, fault.New(fault.Invalid, "x-amz-content-sha256: %q is not hexadecimal", declared)
	}
	return &verified{source: source, sum: sha256.New(), want: want, left: length}, nil
}

// Read implements io.Reader. It gives io.EOF when the promised length is passed on.
func (v *verified) Read(p []byte) (int, error) {
	if v.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if v.left == 1 {
		return v.last(p[:1])
	}
	n, err := v.source.Read(p[:min(int64(len(p)), v.left-1)])
	v.sum.Write(p[:n])
	v.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (v *verified) last(p []byte) (int, error) {
	if _, err := io.ReadFull(v.source, p); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	v.sum.Write(p)
	if subtle.ConstantTimeCompare(v.sum.Sum(nil), v.want) != 1 {
		return 0, bodyMismatch.refusal()
	}
	v.left = 0
	return 1, nil
}
