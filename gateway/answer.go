package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answerBytes bounds an answer that is read here: a thousand deletions with their keys.
const answerBytes = 8 << 20

// clean takes out of a successful answer what is the upstream's own business.
func (g *Gateway) clean(r *http.Request, c *call, resp *http.Response) (*http.Response, error) {
	if _, named := resp.Header["X-Amz-Bucket-Region"]; named {
		resp.Header.Set("X-Amz-Bucket-Region", g.config.Region)
	}
	if c.op.name == "GetObjectAttributes" { // versitygw writes its time as asctime does, which HTTP calls obsolete and SDKs do not read
		if at, err := time.Parse(time.ANSIC, resp.Header.Get("Last-Modified")); err == nil {
			resp.Header.Set("Last-Modified", at.Format(http.TimeFormat))
		}
	}
	if resp.StatusCode/100 != 2 || c.op.answer == relayed {
		return resp, nil
	}
	if c.op.answer == owned {
		resp.Header.Del("Content-Length")
		resp.Body = &disowned{source: bufio.NewReaderSize(resp.Body, 32<<10), closer: resp.Body, account: g.config.Account}
		return resp, nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes+1))
	_ = resp.Body.Close() // its error was already Read's
	if err != nil || len(text) > answerBytes {
		return nil, fmt.Errorf("reading the upstream's answer: %d bytes: %w", len(text), err)
	}
	root, err := readXML(text)
	if err != nil {
		return nil, fmt.Errorf("the upstream answered %s with %w", c.op.name, err)
	}
	switch {
	case root.name == "Error": // a copy or a completion that began well
		return nil, lateRefusal(root)
	case c.op.document == parts && root.child("Location") != nil:
		root.child("Location").text = g.address(r)
	case root.name == "LocationConstraint":
		if root.text = g.config.Region; root.text == "us-east-1" {
			root.text = "" // S3's own way to name its first region
		}
	case c.batch != nil:
		c.report(root)
	}
	resp.Header.Del("Content-Length")
	return withBody(resp, root), nil
}

// withBody gives an answer a document as its body.
func withBody(resp *http.Response, root *element) *http.Response {
	text := root.write()
	resp.Header.Set("Content-Type", "application/xml")
	resp.Header.Set("Content-Length", strconv.Itoa(len(text)))
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp
}

// refusedBatch is the answer of a batch of which nothing is left for the upstream.
func refusedBatch(c *call, rules http.Header) *http.Response {
	root := &element{name: "DeleteResult"}
	c.report(root)
	return withBody(&http.Response{StatusCode: http.StatusOK, Header: rules}, root)
}

// lateRefusal is an error that came with status 200, since the upstream had begun to answer before it knew.
func lateRefusal(root *element) error {
	found := code{name: root.value("Code"), status: http.StatusBadRequest}
	switch {
	case found.name == "" || ofTheGateway[found.name]:
		return fmt.Errorf("the upstream refuses the gateway itself: code %q, %q", found.name, root.value("Message"))
	case found.name == "SlowDown" || found.name == "ServiceUnavailable":
		found.status = http.StatusServiceUnavailable
	case found.name == "InternalError":
		found.status = http.StatusInternalServerError
	case found.name == "PreconditionFailed":
		found.status = http.StatusPreconditionFailed
	}
	return &refusal{code: found, message: root.value("Message"), upstream: true}
}

// address returns where the client finds what it asked for.
func (g *Gateway) address(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + r.URL.EscapedPath()
}

// disowned passes a listing on with the account in the place of every owner and initiator, who are the upstream's. It looks
// for tags alone: text of a document cannot hold one.
type disowned struct {
	source  *bufio.Reader
	closer  io.Closer
	account string
	ready   []byte
	err     error
}

// Read implements io.Reader.
func (d *disowned) Read(p []byte) (int, error) {
	for len(d.ready) == 0 && d.err == nil {
		d.ready, d.err = d.next()
	}
	n := copy(p, d.ready)
	if d.ready = d.ready[n:]; n > 0 {
		return n, nil
	}
	return 0, d.err
}

// Close implements io.Closer.
func (d *disowned) Close() error { return d.closer.Close() }

// next returns what comes up to the end of the next tag. A text that is too long to have its tag in sight is none of S3.
func (d *disowned) next() ([]byte, error) {
	piece, err := d.source.ReadSlice('>')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errXML
	}
	name := ownerTag(piece)
	if name == "" || err != nil {
		return piece, err
	}
	out := append(bytes.Clone(piece), "<ID>"+d.account+"</ID><DisplayName>"+d.account+"</DisplayName></"+name+">"...)
	for {
		piece, err = d.source.ReadSlice('>')
		if err != nil {
			return nil, fmt.Errorf("an owner that does not end: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		if bytes.HasSuffix(piece, []byte("</"+name+">")) {
			return out, nil
		}
	}
}

// ownerTag returns the name of the tag that a piece ends with, if it begins an owner or initiator.
func ownerTag(piece []byte) string {
	tag := string(piece[bytes.LastIndexByte(piece, '<')+1:])
	name, _, _ := strings.Cut(strings.TrimSuffix(tag, ">"), " ")
	if (name == "Owner" || name == "Initiator") && !strings.HasSuffix(tag, "/>") {
		return name
	}
	return ""
}
