package gateway

import (
	"crypto/md5"  //nolint:gosec // S3's Content-MD5 guards against accidents, beside the signature
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

// digests are the headers in which a client may send a checksum of a body
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
var digests = map[string]func() hash.Hash{
	"content-md5":              md5.New,
	"x-amz-checksum-crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"x-amz-checksum-crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"x-amz-checksum-crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"x-amz-checksum-sha1":      sha1.New,
	"x-amz-checksum-sha256":    sha256.New,
}

// usesUp reports whether the operation checks a header, in lower case, against a body that it reads, instead of handing it
// on: the upstream gets another body.
func (op *operation) usesUp(header string) bool {
	_, known := digests[header]
	return op.body == document && (known || header == "x-amz-sdk-checksum-algorithm")
}

// checkDigests holds a body against the checksums that came with it.
func (op *operation) checkDigests(header http.Header, text []byte) error {
	for name, values := range header {
		lower := strings.ToLower(name)
		digest, known := digests[lower]
		if !known || op.forwards(lower) {
			continue
		}
		want, err := base64.StdEncoding.DecodeString(values[0])
		sum := digest()
		if err != nil || len(want) != sum.Size() {
			return refuse(invalidDigest, "the header %s is %.100q: the checksum in base64 is accepted", lower, values[0])
		}
		sum.Write(text)
		if subtle.ConstantTimeCompare(sum.Sum(nil), want) != 1 {
			return badDigest.refusal()
		}
	}
	return nil
}

// md5Of returns the Content-MD5 of a body. Some stores demand it for documents.
func md5Of(text []byte) string {
	sum := md5.Sum(text) //nolint:gosec // see digests
	return base64.StdEncoding.EncodeToString(sum[:])
}

var (
	badDigest     = code{"BadDigest", http.StatusBadRequest, "The Content-MD5 or checksum value that you specified did not match what the server received."}
	invalidDigest = code{"InvalidDigest", http.StatusBadRequest, "The Content-MD5 or checksum value that you specified is not valid."}
)
