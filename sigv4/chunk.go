package sigv4

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// What is wrong with a body in chunks, besides a signature that does not fit (fault.BadSignature) and an end before its time
// (io.ErrUnexpectedEOF).
var (
	ErrChunk     = errors.New("malformed chunk")
	ErrChunkSize = errors.New("a chunk that is not the last one is too small")
	ErrTrailer   = errors.New("malformed trailer")
)

const (
	minChunk     = 8 << 10 // bytes of each chunk but the last one: S3's rule, which bounds the signatures that we compute
	maxChunkLine = 128     // bytes of the line before a chunk
	maxTrailer   = 1 << 10 // bytes of a line of the trailer
	maxTrailers  = 4
	chunkBuffer  = 4 << 10 // larger reads go past it

	signatureExtension = "chunk-signature="
	trailerSignature   = "x-amz-trailer-signature"
	emptyHash          = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Chunks decodes the body of a request whose signature declares it to be in chunks
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html, and sigv4-streaming-trailers.html beside it). It
// holds no more than a line in memory, whatever a chunk's size.
//
// Bytes pass before the signature over them is known, but for the end of each chunk, which its signature has to cover
// first. io.EOF says that all was there and verified: each chunk, the last and empty one, the trailer, the length that was
// promised, and nothing behind it. Who passes the bytes on keeps one back until then.
type Chunks struct {
	body    *bufio.Reader
	left    int64 // bytes of content that are still to come
	chunk   int64 // those of them in this chunk
	size    int64 // of the whole chunk, -1 before the first one
	signed  bool
	trailer bool

	sum, mac hash.Hash // over this chunk; keyed with the signing key
	previous [2 * sha256.Size]byte
	claimed  [2 * sha256.Size]byte
	scope    string // the lines of every string to sign that stay the same
	scratch  []byte

	declared []string
	values   map[string]string
	err      error // what every Read from now on returns
}

// Chunks returns the reader for a body of length bytes of content. trailers are the names, in lower case, that the body
// declares for its end (X-Amz-Trailer): exactly these have to be there. The signature has to be verified first.
func (s *Signature) Chunks(body io.Reader, length int64, trailers []string) (*Chunks, error) {
	c := &Chunks{
		body: bufio.NewReaderSize(body, chunkBuffer), left: length, size: -1,
		signed: s.PayloadHash != StreamingUnsignedTrailer, trailer: s.PayloadHash != StreamingSigned,
		declared: trailers, values: map[string]string{},
	}
	switch {
	case s.key == nil:
		return nil, errors.New("the chunks of a request whose signature is not verified")
	case len(trailers) > maxTrailers || len(trailers) > 0 && !c.trailer:
		return nil, fmt.Errorf("%w: %d names with %s", ErrTrailer, len(trailers), s.PayloadHash)
	}
	if c.signed {
		c.sum, c.mac = sha256.New(), hmac.New(sha256.New, s.key[:])
		hex.Encode(c.previous[:], s.mac[:])
		c.scope = s.Time.Format(timeForm) + "\n" + s.scope + "\n"
	}
	return c, nil
}

// Trailer returns a declared trailing header after io.EOF.
func (c *Chunks) Trailer(name string) string { return c.values[name] }

// Read implements io.Reader.
func (c *Chunks) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := c.read(p)
	c.err = err
	return n, err
}

func (c *Chunks) read(p []byte) (int, error) {
	if c.chunk == 0 {
		if err := c.begin(); err != nil {
			return 0, err
		}
		if c.size == 0 {
			return 0, c.finish()
		}
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.chunk)])
	if c.signed {
		c.sum.Write(p[:n])
	}
	c.chunk -= int64(n)
	c.left -= int64(n)
	if c.chunk == 0 {
		if err := c.end(); err != nil {
			return 0, err
		}
	}
	return n, early(err)
}

// early returns the error of a read that should not have met the end of the body.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin reads the line before a chunk: SIZE in hexadecimal, and ;chunk-signature=SIGNATURE where chunks are signed.
func (c *Chunks) begin() error {
	line, err := c.line(maxChunkLine)
	if err != nil {
		return err
	}
	digits, extension, _ := strings.Cut(line, ";")
	if c.signed {
		signature, found := strings.CutPrefix(extension, signatureExtension)
		if !found || !isHash(signature) {
			return fmt.Errorf("%w: no signature of 64 hex digits", ErrChunk)
		}
		copy(c.claimed[:], signature)
	} else if len(digits) != len(line) {
		return fmt.Errorf("%w: an extension in a chunk that is not signed", ErrChunk)
	}
	size, ok := chunkSize(digits)
	switch {
	case !ok:
		return fmt.Errorf("%w: the size %.20q", ErrChunk, digits)
	case size > c.left:
		return fmt.Errorf("%w: %d bytes where %d are left of the declared length", ErrChunk, size, c.left)
	case size > 0 && c.size >= 0 && c.size < minChunk:
		return ErrChunkSize
	}
	c.size, c.chunk = size, size
	return nil
}

// chunkSize reads a size in the one way to write it, but for the case of its digits: two readers must not read two sizes.
func chunkSize(digits string) (size int64, ok bool) {
	if digits == "" || len(digits) > 12 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	for i := range len(digits) {
		d := hexDigit(digits[i])
		if d > 15 {
			return 0, false
		}
		size = size<<4 | int64(d)
	}
	return size, true
}

// end verifies the chunk whose bytes are all read.
func (c *Chunks) end() error {
	line, err := c.line(maxChunkLine)
	if err != nil {
		return err
	}
	if line != "" {
		return fmt.Errorf("%w: more bytes than its size", ErrChunk)
	}
	return c.verify()
}

func (c *Chunks) verify() error {
	if !c.signed {
		return nil
	}
	b := append(c.scratch[:0], algorithm+"-PAYLOAD\n"...)
	b = append(b, c.scope...)
	b = append(b, c.previous[:]...)
	b = append(b, "\n"+emptyHash+"\n"...)
	return c.hold(b, "a chunk")
}

// hold compares the signature of what was summed up with the claimed one, which the next one continues.
func (c *Chunks) hold(stringToSign []byte, what string) error {
	var digest [sha256.Size]byte
	b := hex.AppendEncode(stringToSign, c.sum.Sum(digest[:0]))
	c.sum.Reset()
	c.mac.Reset()
	c.mac.Write(b)
	c.scratch = b
	hex.Encode(c.previous[:], c.mac.Sum(digest[:0]))
	if !hmac.Equal(c.previous[:], c.claimed[:]) {
		return fault.New(fault.BadSignature, "the signature of %s of the body does not fit", what)
	}
	return nil
}

// finish verifies what comes after the content: the last chunk, which is empty, the trailer, and the end of all.
func (c *Chunks) finish() error {
	if err := c.verify(); err != nil {
		return err
	}
	if c.left > 0 {
		return fmt.Errorf("%w: the content ends %d bytes before its declared length", io.ErrUnexpectedEOF, c.left)
	}
	if err := c.trailers(); err != nil {
		return err
	}
	if _, err := c.body.ReadByte(); err != nil {
		return err // io.EOF, the only one that this reader returns
	}
	return fmt.Errorf("%w: bytes behind the last one", ErrChunk)
}

// trailers reads the trailer and the empty line behind it. Each declared header stands there once, and their signature last.
func (c *Chunks) trailers() error {
	verified := false
	for {
		line, err := c.line(maxTrailer)
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		_, twice := c.values[name]
		switch {
		case verified || twice:
			return fmt.Errorf("%w: the header %.100q", ErrTrailer, name)
		case slices.Contains(c.declared, name):
			c.values[name] = value
			if c.signed {
				c.sum.Write([]byte(name + ":" + value + "\n"))
			}
		case c.signed && c.trailer && name == trailerSignature && isHash(value):
			copy(c.claimed[:], value)
			if err := c.verifyTrailer(); err != nil {
				return err
			}
			verified = true
		default:
			return fmt.Errorf("%w: the header %.100q", ErrTrailer, name)
		}
	}
	if len(c.values) != len(c.declared) || verified != (c.signed && c.trailer) {
		return fmt.Errorf("%w: %d of %d declared headers, signature %v", ErrTrailer, len(c.values), len(c.declared), verified)
	}
	return nil
}

func (c *Chunks) verifyTrailer() error {
	b := append(c.scratch[:0], algorithm+"-TRAILER\n"...)
	b = append(b, c.scope...)
	b = append(b, c.previous[:]...)
	b = append(b, '\n')
	return c.hold(b, "the trailer")
}

// line reads up to CR LF and returns what is before it. A line of the trailer may have a line feed of its own before them,
// as AWS's description shows it and some clients write it.
func (c *Chunks) line(most int) (string, error) {
	raw, err := c.body.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(raw) > most:
		return "", fmt.Errorf("%w: a line of more than %d bytes", ErrChunk, most)
	case err != nil:
		return "", early(err)
	}
	line := string(raw[:len(raw)-1])
	if before, ok := strings.CutSuffix(line, "\r"); ok {
		return before, nil
	}
	if line == "" || most != maxTrailer {
		return "", fmt.Errorf("%w: a line that does not end with CR LF", ErrChunk)
	}
	var end [2]byte
	if _, err := io.ReadFull(c.body, end[:]); err != nil {
		return "", early(err)
	}
	if string(end[:]) != "\r\n" {
		return "", fmt.Errorf("%w: a line that does not end with CR LF", ErrTrailer)
	}
	return line, nil
}
