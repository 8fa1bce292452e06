package gateway

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// The headers of a body in chunks (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html).
const (
	decodedLength    = "X-Amz-Decoded-Content-Length"
	announcedTrailer = "X-Amz-Trailer"
	awsChunked       = "aws-chunked"
)

// chunkBytes is how much content the gateway puts into a chunk of its own. Some stores hold a whole chunk in memory and
// refuse one over 16 MiB; all want at least 8 KiB.
const chunkBytes = 1 << 20

// frames reports whether a header, in lower case, says how this call's body is framed. It is used up here, since the body
// goes on in another frame.
func (c *call) frames(header string) bool {
	return c.chunked && (header == "x-amz-decoded-content-length" || header == "x-amz-trailer")
}

// takeEncoding keeps of the content encoding what belongs to the object: aws-chunked is a frame, that ends here.
func (c *call) takeEncoding() error {
	const name = "Content-Encoding"
	all := strings.Join(c.headers[name], ",") // the SDK for Go writes its own line beside the caller's
	if !strings.Contains(strings.ToLower(all), awsChunked) {
		return nil
	}
	if !c.chunked {
		return refuse(invalidRequest, "the content encoding aws-chunked needs an x-amz-content-sha256 that begins with STREAMING-")
	}
	var kept []string
	for coding := range strings.SplitSeq(all, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, awsChunked) {
			kept = append(kept, coding)
		}
	}
	if delete(c.headers, name); len(kept) > 0 {
		c.headers[name] = []string{strings.Join(kept, ",")}
	}
	return nil
}

// takeLength finds out how many bytes of content the body has.
func (c *call) takeLength(r *http.Request, header http.Header) error {
	c.length = r.ContentLength
	if !c.chunked {
		return nil
	}
	if c.op.body != stream {
		return fault.New(fault.Unsupported, "%s with a body in chunks is not supported: send its SHA-256 as x-amz-content-sha256", c.op.name)
	}
	text := header.Get(decodedLength)
	length, err := strconv.ParseInt(text, 10, 64)
	if err != nil || length < 0 || strconv.FormatInt(length, 10) != text {
		return refuse(missingContentLength, "x-amz-decoded-content-length %.100q: the length of the content in bytes is needed", text)
	}
	c.length = length
	return nil
}

// framed puts content into unsigned chunks with a trailing checksum: the upstream has to have the checksum to keep it, and
// the client sends it last. Its integrity towards the upstream is the connection's.
type framed struct {
	content *upload
	left    int64 // bytes of content that are in no chunk yet
	chunk   int64 // bytes of content to come in this chunk
	pending []byte
	ended   bool
}

// Read implements io.Reader. It puts what stands around a chunk beside its content, as each Read becomes a packet, and
// reads content once, so that what has come is passed on.
func (f *framed) Read(p []byte) (n int, err error) {
	for read := false; n < len(p); {
		switch {
		case len(f.pending) > 0:
			copied := copy(p[n:], f.pending)
			f.pending = f.pending[copied:]
			n += copied
		case f.chunk > 0 && read:
			return n, nil
		case f.chunk > 0:
			got, err := f.content.Read(p[n:min(int64(len(p)), int64(n)+f.chunk)])
			n += got
			if err != nil {
				return n, err
			}
			if f.chunk -= int64(got); f.chunk == 0 {
				f.pending = []byte("\r\n")
			}
			read = true
		case f.left > 0:
			f.chunk = min(f.left, chunkBytes)
			f.left -= f.chunk
			f.pending = chunkLine(f.chunk)
		case !f.ended:
			f.ended = true
			f.pending = f.content.trailerLines()
		default:
			return n, io.EOF
		}
	}
	return n, nil
}

// framedLength returns how many bytes Read will give in all.
func framedLength(length int64, trailer string, size int) int64 {
	full, rest := length/chunkBytes, length%chunkBytes
	total := full * (int64(len(chunkLine(chunkBytes))) + chunkBytes + 2)
	if rest > 0 {
		total += int64(len(chunkLine(rest))) + rest + 2
	}
	return total + int64(len(trailerLines(trailer, strings.Repeat("=", encodedLen(size)))))
}

func encodedLen(n int) int { return (n + 2) / 3 * 4 }

func chunkLine(n int64) []byte { return append(strconv.AppendInt(nil, n, 16), "\r\n"...) }

func trailerLines(header, value string) []byte {
	return []byte("0\r\n" + strings.ToLower(header) + ":" + value + "\r\n\r\n")
}

// frame says how a body goes to the upstream: the payload hash to sign, the bytes on the wire and their number.
//
// What the client hashed is signed with its hash, so that the upstream checks the body as well. What it signed in chunks
// cannot be signed as it was, and what it left unsigned states nothing: they go in chunks of ours with a checksum at the end,
// the client's or else the one that S3 adds to every object. Sent as it is, it could be cut off by us and still become an object: there are stores that take a body
// for whole which ends before its Content-Length. A checksum in a header is the upstream's to check, and prevents that.
func (u *upload) frame(header http.Header, declared string) (hash string, wire io.Reader, length int64) {
	switch {
	case u.chunks == nil && u.added == nil:
		return declared, u, u.length
	case u.trailer == nil && u.added == nil:
		return sigv4.UnsignedPayload, u, u.length
	}
	name, size := checksumPrefix+addedChecksum, 0
	if u.trailer != nil {
		name, size = u.trailer.header, u.trailer.sum.Size()
	} else {
		size = u.added.Size()
	}
	header.Set(decodedLength, strconv.FormatInt(u.length, 10))
	header.Set(announcedTrailer, strings.ToLower(name))
	return sigv4.StreamingUnsignedTrailer, &framed{content: u, left: u.length}, framedLength(u.length, name, size)
}
