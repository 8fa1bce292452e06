package gateway

import (
	"crypto/md5"  //nolint:gosec // S3's Content-MD5 guards against accidents, beside the signature
	"crypto/sha1" //nolint:gosec // likewise, as a checksum
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"net/http"
	"strings"

	"github.com/minio/crc64nvme"

	"github.com/openlanyard/lanyard/fault"
)

const contentMD5 = "Content-Md5"

// checksums are S3's, by the ending of their header
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
var checksums = map[string]func() hash.Hash{
	"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c":    func() hash.Hash { return crc32.New(castagnoli) },
	"Crc64nvme": func() hash.Hash { return crc64nvme.New() },
	"Sha1":      sha1.New,
	"Sha256":    sha256.New,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	checksumPrefix = "X-Amz-Checksum-"
	addedChecksum  = "Crc64nvme"
)

// check is one statement of a client about its body: what a digest of it has to be.
type check struct {
	header string // that states it, canonical
	sum    hash.Hash
	want   []byte
	wrong  code // what the client is told
}

// holds says whether the digest of all that was written is the stated one.
func (c *check) holds() error {
	if subtle.ConstantTimeCompare(c.sum.Sum(nil), c.want) == 1 {
		return nil
	}
	return c.wrong.refusal()
}

// state sets what a client says that the digest is, in base64.
func (c *check) state(value string) error {
	var err error
	if c.want, err = base64.StdEncoding.DecodeString(value); err == nil && len(c.want) == c.sum.Size() {
		return nil
	}
	if c.header == contentMD5 {
		return invalidDigest.refusal()
	}
	return refuse(invalidRequest, "Value for %s header is invalid.", strings.ToLower(c.header))
}

// newCheck returns the check that a header states, or false for a header that states none. x-amz-checksum-algorithm and the
// like are headers of other operations than those that bring a body.
func newCheck(header string) (*check, bool) {
	if header == contentMD5 {
		return &check{header: header, sum: md5.New(), wrong: badDigest}, true //nolint:gosec // see the import
	}
	name, found := strings.CutPrefix(header, checksumPrefix)
	sum := checksums[name]
	if !found || sum == nil {
		return nil, false
	}
	wrong := badDigest
	wrong.sentence = "The " + strings.ToUpper(name) + " you specified did not match the calculated checksum."
	return &check{header: header, sum: sum(), wrong: wrong}, true
}

// usesUp reports whether the operation checks a header, in lower case, against a document that it reads, instead of handing
// it on: the upstream gets another body. Where a body is refused there is nothing to check: the SDK for Java states the
// checksum of no bytes with every read.
func (op *operation) usesUp(header string) bool {
	if op.body == stream {
		return false
	}
	_, states := newCheck(http.CanonicalHeaderKey(header))
	return states || header == "x-amz-sdk-checksum-algorithm"
}

// md5Of returns the Content-MD5 of a body. Some stores demand it for documents.
func md5Of(text []byte) string {
	sum := md5.Sum(text) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// takeChecks finds what the headers and the announced trailer state about the body. A checksum that is handed on beside a
// document speaks of an object.
func (c *call) takeChecks(header http.Header) error {
	for name, values := range header {
		if c.op.forwards(strings.ToLower(name)) != (c.op.body == stream) {
			continue
		}
		one, ok := newCheck(name)
		switch {
		case ok:
		case name == checksumPrefix+"Algorithm" || name == checksumPrefix+"Type":
			// minio-go says so with every body, also where no checksum follows. S3 passes over it there, and the store is not
			// told: it may get another one, see frame.
			delete(c.headers, name)
			continue
		case strings.HasPrefix(name, checksumPrefix):
			return fault.New(fault.Unsupported, "the header %q is not supported with %s: of checksums, CRC32, CRC32C, CRC64NVME, SHA1 and SHA256 are",
				strings.ToLower(name), c.op.name)
		default:
			continue
		}
		if err := one.state(values[0]); err != nil {
			return err
		}
		c.checks = append(c.checks, one)
	}
	if trailer := header.Get(announcedTrailer); trailer != "" {
		one, ok := newCheck(http.CanonicalHeaderKey(strings.TrimSpace(trailer)))
		if !ok || one.header == contentMD5 {
			return refuse(invalidRequest, "The value specified in the x-amz-trailer header is not supported")
		}
		c.trailer = one
		c.checks = append(c.checks, one)
	}
	stated := 0
	for _, one := range c.checks {
		if one.header != contentMD5 {
			stated++
		}
	}
	if stated > 1 {
		return refuse(invalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	return nil
}
