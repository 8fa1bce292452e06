package gateway

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// What an answer's text says of the upstream is taken out, and an error that comes with status 200 is one.
func TestAnswersAreCleaned(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	const inside = "<ID>inside</ID><DisplayName>inside</DisplayName>"
	const account = "<ID>" + ours + "</ID><DisplayName>" + ours + "</DisplayName>"
	end := request{method: "POST", path: "/pay/a%20b?uploadId=u", body: "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"}
	for _, c := range []struct {
		name   string
		in     request
		answer string
		status int
		want   string // in the answer
	}{
		{"owner of buckets", request{method: "GET", path: "/"}, "<ListAllMyBucketsResult><Owner>" + inside + "</Owner><Buckets/></ListAllMyBucketsResult>", 200, "<Owner>" + account + "</Owner><Buckets/>"},
		{
			"owners of objects",
			request{method: "GET", path: "/pay?list-type=2&fetch-owner=true"},
			"<r><Contents><Key>a</Key><Owner>" + inside + "</Owner></Contents><Contents><Key>&lt;Owner&gt;</Key><Owner >" + inside + "</Owner></Contents></r>",
			200, "<Key>a</Key><Owner>" + account + "</Owner></Contents><Contents><Key>&lt;Owner&gt;</Key><Owner >" + account + "</Owner></Contents></r>",
		},
		{"owner of nothing", request{method: "GET", path: "/pay"}, "<r><Owner/><Name>pay</Name></r>", 200, "<r><Owner/><Name>pay</Name></r>"},
		{"initiator", request{method: "GET", path: "/pay/a?uploadId=u"}, "<r><Initiator>" + inside + "</Initiator></r>", 200, "<Initiator>" + account + "</Initiator>"},
		{"location of an object", end, "<CompleteMultipartUploadResult><Location>http://inside/pay/a</Location><ETag>e</ETag></CompleteMultipartUploadResult>", 200, "<Location>" + w.gateway.URL + "/pay/a%20b</Location><ETag>e</ETag>"},
		{"region of a bucket", request{method: "GET", path: "/pay?location"}, `<LocationConstraint xmlns="` + namespace + `">inside</LocationConstraint>`, 200, `<LocationConstraint xmlns="` + namespace + `"></LocationConstraint>`},
		{"late error", end, "  \n<Error><Code>InvalidPart</Code><Message>said so</Message><HostId>inside</HostId></Error>", 400, "<Code>InvalidPart</Code><Message>said so</Message>"},
		{"late error of the store", copyOf("pay/b"), "<Error><Code>InternalError</Code></Error>", 500, "<Code>InternalError</Code>"},
		{"late error of the gateway's own", copyOf("pay/b"), "<Error><Code>SignatureDoesNotMatch</Code></Error>", 500, "<Code>InternalError</Code>"},
		{"late error without a code", copyOf("pay/b"), "<Error/>", 500, "<Code>InternalError</Code>"},
		{"no XML", copyOf("pay/b"), "inside", 500, "<Code>InternalError</Code>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.answer) })
			resp, text := w.send(t, all, c.in)
			if resp.StatusCode != c.status || !strings.Contains(text, c.want) {
				t.Errorf("got %d %s, want %d and %s", resp.StatusCode, text, c.status, c.want)
			}
			if strings.Contains(text, "inside") {
				t.Errorf("the upstream shows through: %s", text)
			}
		})
	}
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Amz-Bucket-Region", "inside") })
	if resp, _ := w.send(t, all, request{method: "HEAD", path: "/pay"}); resp.Header.Get("X-Amz-Bucket-Region") != region {
		t.Errorf("the bucket's region is %q, want %q", resp.Header.Get("X-Amz-Bucket-Region"), region)
	}
}

// SDKs read one of the ways in which HTTP lets a store write a time. What is not asctime's stays as it is.
func TestTimesAreOfOneForm(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	for told, want := range map[string]string{
		"Thu Nov  6 08:49:37 2025": "Thu, 06 Nov 2025 08:49:37 GMT", "Thu, 06 Nov 2025 08:49:37 GMT": "Thu, 06 Nov 2025 08:49:37 GMT",
		"Thursday, 06-Nov-25 08:49:37 GMT": "Thursday, 06-Nov-25 08:49:37 GMT", "yesterday": "yesterday", "": "",
	} {
		w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) {
			if told != "" {
				w.Header().Set("Last-Modified", told)
			}
		})
		if resp, _ := w.send(t, all, request{method: "GET", path: "/pay/a?attributes"}); resp.Header.Get("Last-Modified") != want {
			t.Errorf("%q: got %q, want %q", told, resp.Header.Get("Last-Modified"), want)
		}
	}
}

// The source of a copy that is missing is told to who may list where it would be.
func TestMissingSourceIsConcealed(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
	})
	get, put := allow("s3:GetObject*", "arn:aws:s3:::other/*"), allow("s3:PutObject*", "arn:aws:s3:::pay/*")
	for want, list := range map[int]string{403: "arn:aws:s3:::pay", 404: "arn:aws:s3:::other"} {
		resp, text := w.send(t, w.session(t, ours, get, put, allow("s3:ListBucket", list)), copyOf("other/x"))
		if resp.StatusCode != want {
			t.Errorf("who may list %s: status %d, want %d: %s", list, resp.StatusCode, want, text)
		}
	}
}

func TestDisowned(t *testing.T) {
	const in = "<r><Owner><ID>x</ID></Owner>text<Owner></Owner></r>\n"
	const want = "<r><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>text<Owner><ID>1</ID><DisplayName>1</DisplayName></Owner></r>\n"
	for _, source := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in)), iotest.DataErrReader(strings.NewReader(in))} {
		d := &disowned{source: bufio.NewReaderSize(source, 64), account: "1"}
		if got, err := io.ReadAll(iotest.OneByteReader(d)); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	for _, c := range []struct{ name, in string }{
		{"an owner without an end", "<r><Owner><ID>x</ID>"},
		{"a text without an end", "<r>" + strings.Repeat("x", 100) + "<Owner>"},
	} {
		d := &disowned{source: bufio.NewReaderSize(strings.NewReader(c.in), 64), account: "1"}
		if got, err := io.ReadAll(d); err == nil || strings.Contains(string(got), "<ID>") {
			t.Errorf("%s: got %q, %v, want an error", c.name, got, err)
		}
	}
	broken := errors.New("broken")
	d := &disowned{source: bufio.NewReader(io.MultiReader(strings.NewReader("<r>"), iotest.ErrReader(broken))), account: "1"}
	if got, err := io.ReadAll(d); !errors.Is(err, broken) || string(got) != "<r>" {
		t.Errorf("got %q, %v, want what was there and %v", got, err, broken)
	}
}
