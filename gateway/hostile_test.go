package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// hostileRequests are signed by a caller that may do everything.
var hostileRequests = []struct {
	name   string
	in     request
	status int
	code   string
	says   string
}{
	// Who may reach the upstream.
	{"bucket policy", request{method: "PUT", path: "/pay?policy", body: "{}"}, 501, "NotImplemented", `"policy"`},
	{"bucket policy, read", request{method: "GET", path: "/pay?policy="}, 501, "NotImplemented", "decided by IAM policies alone"},
	{"bucket policy behind another", request{method: "PUT", path: "/pay?tagging&policy", body: "<Tagging/>"}, 501, "NotImplemented", `"policy"`},
	{"bucket policy before another", request{method: "PUT", path: "/pay?policy&acl", body: "{}"}, 501, "NotImplemented", `"acl"`},
	{"bucket policy in other case", request{method: "PUT", path: "/pay?Policy", body: ""}, 501, "NotImplemented", `"Policy"`},
	{"bucket policy, escaped", request{method: "PUT", path: "/pay?p%6Flicy", body: ""}, 501, "NotImplemented", `"policy"`},
	{"policy status", request{method: "GET", path: "/pay?policyStatus"}, 501, "NotImplemented", `"policyStatus"`},
	{"bucket acl", request{method: "PUT", path: "/pay?acl"}, 501, "NotImplemented", `"acl"`},
	{"object acl", request{method: "PUT", path: "/pay/a?acl"}, 501, "NotImplemented", `"acl"`},
	{"object acl of a version", request{method: "GET", path: "/pay/a?acl&versionId=1"}, 501, "NotImplemented", `"acl"`},
	{"public access block", request{method: "DELETE", path: "/pay?publicAccessBlock"}, 501, "NotImplemented", `"publicAccessBlock"`},
	{"website", request{method: "PUT", path: "/pay?website"}, 501, "NotImplemented", `"website"`},
	{"replication", request{method: "PUT", path: "/pay?replication"}, 501, "NotImplemented", "past the gateway"},
	{"notification", request{method: "PUT", path: "/pay?notification"}, 501, "NotImplemented", `"notification"`},
	{"logging", request{method: "PUT", path: "/pay?logging"}, 501, "NotImplemented", `"logging"`},
	{"no ownership controls", request{method: "DELETE", path: "/pay?ownershipControls"}, 501, "NotImplemented", `"ownershipControls"`},
	{"ownership for ACLs", request{method: "PUT", path: "/pay?ownershipControls", body: `<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>`}, 501, "NotImplemented", "ObjectWriter"},
	{"acl header", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Acl", "public-read")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header in small letters", request{method: "PUT", path: "/pay/a", header: header("x-amz-acl", "public-read")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header on a bucket", request{method: "PUT", path: "/pay", header: header("x-amz-acl", "public-read")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header on a copy", request{method: "PUT", path: "/pay/a", header: map[string]string{"X-Amz-Copy-Source": "pay/b", "X-Amz-Acl": "public-read"}}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header on an upload", request{method: "POST", path: "/pay/a?uploads", header: header("X-Amz-Acl", "public-read")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header with a word more", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Acl", "private, public-read")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header in other case", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Acl", "Private")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header without a value", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Acl", "")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header of the owner of the bucket", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Acl", "bucket-owner-full-control")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header where S3 takes none", request{method: "PUT", path: "/pay/a?partNumber=1&uploadId=u", body: "x", header: header("X-Amz-Acl", "private")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"acl header on a read", request{method: "GET", path: "/pay/a", header: header("X-Amz-Acl", "private")}, 501, "NotImplemented", `"x-amz-acl"`},
	{"private acl and a grant", request{method: "PUT", path: "/pay/a", header: map[string]string{"X-Amz-Acl": "private", "X-Amz-Grant-Read": "uri=x"}}, 501, "NotImplemented", `"x-amz-grant-read"`},
	{"private acl as an operation", request{method: "PUT", path: "/pay/a?acl", header: header("X-Amz-Acl", "private")}, 501, "NotImplemented", `"acl"`},
	{"grant header", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Grant-Read", "uri=x")}, 501, "NotImplemented", `"x-amz-grant-read"`},
	{"ownership header", request{method: "PUT", path: "/pay", header: header("X-Amz-Object-Ownership", "ObjectWriter")}, 501, "NotImplemented", `"x-amz-object-ownership"`},
	{"website header", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Website-Redirect-Location", "/b")}, 501, "NotImplemented", "website-redirect"},

	// What would be another operation.
	{"post of a form", request{method: "POST", path: "/pay"}, 405, "MethodNotAllowed", `"POST"`},
	{"two sub-resources", request{method: "GET", path: "/pay?tagging&versioning"}, 501, "NotImplemented", "is not supported with GET"},
	{"a sub-resource twice", request{method: "GET", path: "/pay?tagging&tagging"}, 400, "InvalidArgument", "2 times"},
	{"a sub-resource with a value", request{method: "GET", path: "/pay?tagging=x"}, 400, "InvalidArgument", `tagging="x"`},
	{"a part's number twice", request{method: "PUT", path: "/pay/a?partNumber=1&partNumber=2&uploadId=u", body: "x"}, 400, "InvalidArgument", "2 times"},
	{"a version twice", request{method: "GET", path: "/pay/a?versionId=1&versionId=2"}, 400, "InvalidArgument", "2 times"},
	{"an empty version", request{method: "GET", path: "/pay/a?versionId="}, 400, "InvalidArgument", "versionId="},
	{"a version that is a path", request{method: "GET", path: "/pay/a?versionId=../../secret"}, 400, "InvalidArgument", "versionId="},
	{"a version of dots", request{method: "DELETE", path: "/pay/a?versionId=.."}, 400, "InvalidArgument", "versionId="},
	{"a version of a bucket", request{method: "DELETE", path: "/pay?versionId=1"}, 501, "NotImplemented", `"versionId"`},
	{"a version to write", request{method: "PUT", path: "/pay/a?versionId=1"}, 501, "NotImplemented", `"versionId"`},
	{"an empty upload", request{method: "PUT", path: "/pay/a?partNumber=1&uploadId=", body: "x"}, 400, "InvalidArgument", "uploadId="},
	{"an empty upload to end", request{method: "DELETE", path: "/pay/a?uploadId"}, 400, "InvalidArgument", "uploadId="},
	{"an upload that is a path", request{method: "GET", path: "/pay/a?uploadId=..%2F..%2Fb"}, 400, "InvalidArgument", "uploadId="},
	{"a part without an upload", request{method: "PUT", path: "/pay/a?partNumber=1", body: "x"}, 501, "NotImplemented", "is not supported with PUT on an object"},
	{"an upload without a part", request{method: "PUT", path: "/pay/a?uploadId=u", body: "x"}, 501, "NotImplemented", "is not supported with PUT on an object"},
	{"part 0", request{method: "PUT", path: "/pay/a?partNumber=0&uploadId=u", body: "x"}, 400, "InvalidArgument", "partNumber"},
	{"part of no number", request{method: "PUT", path: "/pay/a?partNumber=1e3&uploadId=u", body: "x"}, 400, "InvalidArgument", "partNumber"},
	{"a page of no number", request{method: "GET", path: "/pay?max-keys=1e9"}, 400, "InvalidArgument", "max-keys"},
	{"a page of an enormous number", request{method: "GET", path: "/pay?max-keys=4294967297"}, 400, "InvalidArgument", "max-keys"},
	{"parameter nobody knows", request{method: "GET", path: "/pay/a?frobnicate"}, 501, "NotImplemented", `"frobnicate"`},
	{"a rename", request{method: "PUT", path: "/pay/a?renameObject", header: header("X-Amz-Rename-Source", "b")}, 501, "NotImplemented", `"renameObject"`},
	{"a method in the query", request{method: "GET", path: "/pay/a?_method=DELETE"}, 501, "NotImplemented", `"_method"`},
	{"header nobody knows", request{method: "GET", path: "/pay/a", header: header("X-Amz-Frobnicate", "1")}, 501, "NotImplemented", `"x-amz-frobnicate"`},
	{"tags on a part", request{method: "PUT", path: "/pay/a?partNumber=1&uploadId=u", body: "x", header: header("X-Amz-Tagging", "a=b")}, 501, "NotImplemented", `"x-amz-tagging"`},
	{"a copy by a read", request{method: "GET", path: "/pay/a", header: header("X-Amz-Copy-Source", "pay/b")}, 501, "NotImplemented", `"x-amz-copy-source"`},
	{"a copy of a bucket", request{method: "PUT", path: "/pay", header: header("X-Amz-Copy-Source", "pay/b")}, 501, "NotImplemented", `"x-amz-copy-source"`},
	{"a copy of tags", request{method: "PUT", path: "/pay/a?tagging", header: header("X-Amz-Copy-Source", "pay/b")}, 501, "NotImplemented", "is not supported with PUT"},
	{"a bypass by a write", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Bypass-Governance-Retention", "true")}, 501, "NotImplemented", "bypass-governance"},
	{"a bypass that is neither", request{method: "DELETE", path: "/pay/a", header: header("X-Amz-Bypass-Governance-Retention", "TRUE")}, 400, "InvalidArgument", "bypass-governance"},
	{"encryption with a customer's key", request{method: "GET", path: "/pay/a", header: header("X-Amz-Server-Side-Encryption-Customer-Key", "k")}, 501, "NotImplemented", "customer-key"},
	{"list type nobody knows", request{method: "GET", path: "/pay?list-type=3"}, 501, "NotImplemented", `"list-type"`},
	{"other operation's id", request{method: "GET", path: "/pay/a?x-id=DeleteObject"}, 400, "InvalidArgument", "GetObject"},
	{"id of an operation that is not served", request{method: "PUT", path: "/pay/a?x-id=PutObjectAcl"}, 501, "NotImplemented", "PutObjectAcl"},
	{"method nobody knows", request{method: "PATCH", path: "/pay"}, 405, "MethodNotAllowed", `"PATCH"`},
	{"upstream's administration", request{method: "PATCH", path: "/create-user"}, 405, "MethodNotAllowed", `"PATCH"`},
	{"put on the service", request{method: "PUT", path: "/"}, 405, "MethodNotAllowed", `"PUT"`},
	{"selection of an unknown type", request{method: "POST", path: "/pay/a?select&select-type=3", body: "<x/>"}, 405, "MethodNotAllowed", `"POST"`},
	{"selection that is none", request{method: "POST", path: "/pay/a?select&select-type=2", body: "<x/>"}, 400, "MalformedXML", `SelectObjectContentRequest`},
	{
		"selection that stores its answer",
		request{method: "POST", path: "/pay/a?select&select-type=2", body: `<SelectObjectContentRequest><OutputLocation/></SelectObjectContentRequest>`},
		501, "NotImplemented", `"OutputLocation"`,
	},

	// Where a copy comes from.
	{"copy of nothing", copyOf(""), 400, "InvalidArgument", "is empty"},
	{"copy of a whole bucket", copyOf("other"), 400, "InvalidArgument", "BUCKET/KEY"},
	{"copy of a whole bucket, with a slash", copyOf("/other/"), 400, "InvalidArgument", "BUCKET/KEY"},
	{"copy out of the bucket", copyOf("pay/../other/secret"), 400, "InvalidArgument", "dots"},
	{"copy out of the bucket, escaped", copyOf("pay/%2e%2e/other/secret"), 400, "InvalidArgument", "dots"},
	{"copy with escaped slashes", copyOf("pay%2F..%2Fother%2Fsecret"), 400, "InvalidArgument", "no object"},
	{"copy of an empty segment", copyOf("pay//secret"), 400, "InvalidArgument", "empty"},
	{"copy of an empty bucket", copyOf("//pay/secret"), 400, "InvalidArgument", "no object"},
	{"copy of a hidden bucket", copyOf(".sgwtmp/multipart/x"), 400, "InvalidArgument", ".sgwtmp"},
	{"copy of an access point", copyOf("arn:aws:s3:us-east-1:111122223333:accesspoint/p/object/x"), 400, "InvalidArgument", "no object"},
	{"copy of an address", copyOf("http://inside/x"), 400, "InvalidArgument", "no object"},
	{"copy with bad escapes", copyOf("pay/%zz"), 400, "InvalidArgument", "escaped"},
	{"copy of a NUL", copyOf("pay/a%00b"), 400, "InvalidArgument", "NUL"},
	{"copy with another parameter", copyOf("pay/b?acl"), 400, "InvalidArgument", "versionId=ID"},
	{"copy with two parameters", copyOf("pay/b?versionId=1&versionId=2"), 400, "InvalidArgument", "versionId=ID"},
	{"copy of a version that is a path", copyOf("pay/b?versionId=../x"), 400, "InvalidArgument", "versionId=ID"},
	{"copy with a body", request{method: "PUT", path: "/pay/a", body: "x", header: header("X-Amz-Copy-Source", "pay/b")}, 400, "InvalidArgument", "no body"},
	{"copy with a directive nobody knows", request{method: "PUT", path: "/pay/a", header: map[string]string{"X-Amz-Copy-Source": "pay/b", "X-Amz-Tagging-Directive": "replace"}}, 400, "InvalidArgument", "tagging-directive"},
	{"copy for another owner", request{method: "PUT", path: "/pay/a", header: map[string]string{"X-Amz-Copy-Source": "pay/b", "X-Amz-Source-Expected-Bucket-Owner": theirs}}, 403, "AccessDenied", ""},

	// Documents.
	{"an entity", tagsOf(`<!DOCTYPE x [<!ENTITY e "v">]><Tagging><TagSet><Tag><Key>&e;</Key><Value>v</Value></Tag></TagSet></Tagging>`), 400, "MalformedXML", "Tagging"},
	{"another document", tagsOf(`<Delete><Object><Key>x</Key></Object></Delete>`), 400, "MalformedXML", "Tagging"},
	{"two documents", tagsOf(`<Tagging></Tagging><Tagging></Tagging>`), 400, "MalformedXML", "Tagging"},
	{"an element nobody knows", tagsOf(`<Tagging><TagSet/><Acl/></Tagging>`), 501, "NotImplemented", `"Acl"`},
	{"an attribute", tagsOf(`<Tagging a="b"/>`), 400, "MalformedXML", "Tagging"},
	{"another namespace", tagsOf(`<Tagging xmlns="urn:x"/>`), 400, "MalformedXML", "Tagging"},
	{"a comment inside a name", tagsOf(`<Tagging><TagSet><Tag><Key>a<!-- -->b</Key><Value/></Tag></TagSet></Tagging>`), 400, "MalformedXML", "Tagging"},
	{"an element twice", tagsOf(`<Tagging><TagSet/><TagSet/></Tagging>`), 400, "MalformedXML", "twice"},
	{"text between elements", tagsOf(`<Tagging>x<TagSet/></Tagging>`), 400, "MalformedXML", "Tagging"},
	{"another encoding", tagsOf(`<?xml version="1.0" encoding="UTF-7"?><Tagging/>`), 400, "MalformedXML", "Tagging"},
	{"deep nesting", tagsOf(strings.Repeat("<Tagging>", 1000)), 400, "MalformedXML", "Tagging"},
	{"no document", tagsOf(""), 400, "MalformedXML", "Tagging"},
	{"a tag twice", tagsOf(`<Tagging><TagSet><Tag><Key>a</Key></Tag><Tag><Key>A</Key></Tag></TagSet></Tagging>`), 400, "InvalidTag", "twice"},
	{"too many tags", tagsOf(`<Tagging><TagSet>` + strings.Repeat(`<Tag><Key>a</Key></Tag>`, 51) + `</TagSet></Tagging>`), 400, "MalformedXML", "50"},
	{"tags in a header twice", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Tagging", "a=1&a=2")}, 400, "InvalidTag", ""},
	{"tags in a header that are none", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Tagging", "a=%zz")}, 400, "InvalidArgument", "x-amz-tagging"},
	{"object lock of a mode nobody knows", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Object-Lock-Mode", "governance")}, 400, "InvalidArgument", "GOVERNANCE"},
	{"object lock of no mode", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Object-Lock-Mode", "")}, 400, "InvalidArgument", "GOVERNANCE"},
	{"legal hold of no kind", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Object-Lock-Legal-Hold", "on")}, 400, "InvalidArgument", "ON and OFF"},
	{"retention of another kind", request{method: "PUT", path: "/pay/a?retention", body: "<Retention><Mode>NONE</Mode></Retention>"}, 400, "InvalidArgument", "GOVERNANCE"},
	{"object lock until nothing", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Object-Lock-Retain-Until-Date", "")}, 400, "InvalidArgument", "a time like"},
	{"object lock until no time", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Object-Lock-Retain-Until-Date", "tomorrow")}, 400, "InvalidArgument", "tomorrow"},
	{"document with a wrong MD5", request{method: "PUT", path: "/pay?versioning", body: "<VersioningConfiguration/>", header: header("Content-Md5", "XrY7u+Ae7tCTyyK7j1rNww==")}, 400, "BadDigest", ""},
	{"document with an MD5 that is none", request{method: "PUT", path: "/pay?versioning", body: "<VersioningConfiguration/>", header: header("Content-Md5", "x")}, 400, "InvalidDigest", "Content-MD5"},
	{"document with a wrong checksum", request{method: "PUT", path: "/pay?versioning", body: "<VersioningConfiguration/>", header: header("X-Amz-Checksum-Crc32", "NhCmhg==")}, 400, "BadDigest", ""},
	{"document with a checksum nobody knows", request{method: "PUT", path: "/pay?versioning", body: "<VersioningConfiguration/>", header: header("X-Amz-Checksum-Crc8", "NhCmhg==")}, 501, "NotImplemented", "crc8"},
	{"document with a wrong hash", request{method: "PUT", path: "/pay?versioning", body: "<VersioningConfiguration/>", hash: hashOf("")}, 400, "XAmzContentSHA256Mismatch", ""},
	{"document over its bound", request{method: "PUT", path: "/pay?versioning", body: strings.Repeat(" ", 65<<10)}, 400, "MaxMessageLengthExceeded", "65536"},
	{"multi-factor delete", request{method: "PUT", path: "/pay?versioning", body: "<VersioningConfiguration><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"}, 501, "NotImplemented", "MfaDelete"},
	{"restore to elsewhere", request{method: "POST", path: "/pay/a?restore", body: "<RestoreRequest><OutputLocation/></RestoreRequest>"}, 501, "NotImplemented", "OutputLocation"},
	{"batch of nothing", request{method: "POST", path: "/pay?delete", body: "<Delete/>"}, 400, "MalformedXML", ""},
	{"batch of too much", request{method: "POST", path: "/pay?delete", body: "<Delete>" + strings.Repeat("<Object><Key>a</Key></Object>", 1001) + "</Delete>"}, 400, "MalformedXML", "1000"},
	{"parts of another kind", request{method: "POST", path: "/pay/a?uploadId=u", body: "<CompleteMultipartUpload><Part><Key>x</Key></Part></CompleteMultipartUpload>"}, 501, "NotImplemented", "Part/Key"},

	// Paths that a file system would take for others.
	{"dot segments", request{method: "GET", path: "/pay/../other/secret"}, 400, "InvalidURI", "dots"},
	{"escaped dot segments", request{method: "GET", path: "/pay/%2e%2e/other/secret"}, 400, "InvalidURI", "dots"},
	{"escaped slashes", request{method: "GET", path: "/pay/..%2Fother%2Fsecret"}, 400, "InvalidURI", "dots"},
	{"dot segments behind a key", request{method: "GET", path: "/pay/a/../b"}, 400, "InvalidURI", "dots"},
	{"one dot", request{method: "GET", path: "/pay/./a"}, 400, "InvalidURI", "dots"},
	{"dots at the end", request{method: "GET", path: "/pay/a/.."}, 400, "InvalidURI", "dots"},
	{"empty segment", request{method: "GET", path: "/pay/a//b"}, 400, "InvalidURI", "empty"},
	{"empty first segment", request{method: "GET", path: "/pay//a"}, 400, "InvalidURI", "empty"},
	{"escaped empty first segment", request{method: "GET", path: "/pay/%2Fa"}, 400, "InvalidURI", "empty"},
	{"two slashes at the end", request{method: "GET", path: "/pay/a//"}, 400, "InvalidURI", "empty"},
	{"NUL", request{method: "GET", path: "/pay/a%00b"}, 400, "InvalidURI", "NUL"},
	{"not UTF-8", request{method: "GET", path: "/pay/%ff"}, 400, "InvalidURI", "UTF-8"},
	{"empty bucket", request{method: "GET", path: "//pay/a"}, 400, "InvalidBucketName", `""`},
	{"bucket of dots", request{method: "GET", path: "/../pay"}, 400, "InvalidBucketName", `".."`},
	{"escaped bucket of dots", request{method: "GET", path: "/%2e%2e/pay"}, 400, "InvalidBucketName", "%2e"},
	{"bucket with a slash", request{method: "GET", path: "/pay%2Fsecret"}, 400, "InvalidBucketName", "%2F"},
	{"bucket in capitals", request{method: "GET", path: "/PAY"}, 400, "InvalidBucketName", `"PAY"`},
	{"hidden bucket", request{method: "GET", path: "/.sgwtmp"}, 400, "InvalidBucketName", `".sgwtmp"`},
	{"bucket like an address", request{method: "GET", path: "/127.0.0.1"}, 400, "InvalidBucketName", `"127.0.0.1"`},
	{"key over its length", request{method: "GET", path: "/pay/" + strings.Repeat("a", 1025)}, 400, "KeyTooLongError", "1025"},
	{"prefix with dots", request{method: "GET", path: "/pay?prefix=../other/"}, 400, "InvalidArgument", "dots"},

	// Bodies.
	{"body of a read", request{method: "GET", path: "/pay/a", body: "x"}, 400, "InvalidArgument", "no body"},
	{"empty body that was declared another", request{method: "PUT", path: "/pay/a", hash: hashOf("x")}, 400, "XAmzContentSHA256Mismatch", ""},
	{"read that declares a body", request{method: "GET", path: "/pay/a", hash: hashOf("x")}, 400, "XAmzContentSHA256Mismatch", ""},
	{"chunked coding of a body that is not", request{method: "PUT", path: "/pay/a", body: "x", header: header("Content-Encoding", "aws-chunked")}, 400, "InvalidRequest", "aws-chunked"},
	{"chunks without a length", request{method: "PUT", path: "/pay/a", body: "x", hash: sigv4.StreamingSigned}, 411, "MissingContentLength", "decoded"},
	{"chunks of a read", request{method: "GET", path: "/pay/a", hash: sigv4.StreamingUnsignedTrailer}, 501, "NotImplemented", "GetObject"},
	{"chunks of a configuration", request{method: "PUT", path: "/pay", body: "x", hash: sigv4.StreamingSigned}, 501, "NotImplemented", "CreateBucket"},
	{"chunks of version 4A", request{method: "PUT", path: "/pay/a", body: "x", hash: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, 501, "NotImplemented", "AWS_AUTH_SCHEME_PREFERENCE=sigv4"},
	{"length of chunks where there are none", request{method: "PUT", path: "/pay/a", body: "x", header: header("X-Amz-Decoded-Content-Length", "1")}, 501, "NotImplemented", "decoded"},
	{"trailer where there are no chunks", request{method: "PUT", path: "/pay/a", body: "x", header: header("X-Amz-Trailer", "x-amz-checksum-crc32")}, 501, "NotImplemented", "x-amz-trailer"},
	{"hash that is none", request{method: "PUT", path: "/pay/a", body: "x", hash: "abc"}, 400, "AuthorizationHeaderMalformed", "abc"},
	{"bucket elsewhere", request{method: "PUT", path: "/pay", body: `<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`}, 400, "IllegalLocationConstraintException", "eu-west-1"},
	{"bucket with more to it", request{method: "PUT", path: "/pay", body: `<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>`}, 501, "NotImplemented", `"Bucket"`},
	{"bucket of bad XML", request{method: "PUT", path: "/pay", body: `<Create`}, 400, "MalformedXML", "CreateBucketConfiguration"},
	{"bucket with a wrong hash", request{method: "PUT", path: "/pay", body: `<CreateBucketConfiguration/>`, hash: hashOf("")}, 400, "XAmzContentSHA256Mismatch", ""},
	{"bucket body over its bound", request{method: "PUT", path: "/pay", body: strings.Repeat(" ", 65<<10)}, 400, "MaxMessageLengthExceeded", "65536"},
	{"metadata over its bound", request{method: "PUT", path: "/pay/a", header: header("X-Amz-Meta-A", strings.Repeat("a", 2048))}, 400, "MetadataTooLarge", "2049"},

	{"another owner expected", request{method: "GET", path: "/pay/a", header: header("X-Amz-Expected-Bucket-Owner", theirs)}, 403, "AccessDenied", ""},
	{"bad query", request{method: "GET", path: "/pay?prefix=%zz"}, 0, "", ""},
}

// copyOf is a copy from a source that a header names.
func copyOf(source string) request {
	return request{method: "PUT", path: "/pay/a", header: header("X-Amz-Copy-Source", source)}
}

// tagsOf is a document of a bucket's tags.
func tagsOf(text string) request { return request{method: "PUT", path: "/pay?tagging", body: text} }

func header(name, value string) map[string]string { return map[string]string{name: value} }

// Whatever policy says, these are refused, and the upstream hears of none of them.
func TestRefusedWhateverPolicySays(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	for _, c := range hostileRequests {
		t.Run(c.name, func(t *testing.T) {
			resp, text := w.send(t, all, c.in)
			if seen := w.upstream.take(); len(seen) != 0 {
				t.Errorf("the upstream saw %s %s, want nothing", seen[0].method, seen[0].uri)
			}
			if c.status == 0 {
				if resp.StatusCode < 400 {
					t.Errorf("status %d, want a refusal", resp.StatusCode)
				}
				return
			}
			if got := errorOf(t, text); resp.StatusCode != c.status || got.Code != c.code || !strings.Contains(got.Message, c.says) {
				t.Errorf("got %d %s %q, want %d %s and %q in the message", resp.StatusCode, got.Code, got.Message, c.status, c.code, c.says)
			}
			checkMarks(t, resp)
		})
	}
}

// checkMarks holds an answer against what every answer carries.
func checkMarks(t *testing.T, resp *http.Response) {
	t.Helper()
	for name, want := range map[string]string{"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := resp.Header.Get("X-Amz-Request-Id"); len(got) != 16 {
		t.Errorf("X-Amz-Request-Id is %q, want 16 characters", got)
	}
}

// Who is asking, before what is asked. The good request beside them is the same one with good credentials.
func TestWrongCredentials(t *testing.T) {
	w := newWorld(t)
	good := w.session(t, ours, everything)
	foreign := w.session(t, theirs, everything)
	change := func(f func(c *session.Credentials)) session.Credentials {
		c := good
		f(&c)
		return c
	}
	in := request{method: "GET", path: "/pay/a"}
	cases := []struct {
		name        string
		credentials session.Credentials
		alter       func(r *http.Request)
		status      int
		code, says  string
	}{
		{name: "none wrong", credentials: good, status: 200},
		{name: "another account", credentials: foreign, status: 403, code: "AccessDenied", says: "belongs to account " + ours},
		{name: "another secret", credentials: change(func(c *session.Credentials) { c.SecretAccessKey = "x" }), status: 403, code: "SignatureDoesNotMatch"},
		{name: "another session's token", credentials: change(func(c *session.Credentials) { c.SessionToken = foreign.SessionToken }), status: 400, code: "InvalidToken"},
		{name: "no token", credentials: change(func(c *session.Credentials) { c.SessionToken = "" }), status: 403, code: "InvalidAccessKeyId"},
		{name: "token of rubbish", credentials: change(func(c *session.Credentials) { c.SessionToken = "rubbish" }), status: 400, code: "InvalidToken"},
		{name: "unknown key", credentials: session.Credentials{AccessKeyID: "AKIAUNKNOWN", SecretAccessKey: "x"}, status: 403, code: "InvalidAccessKeyId"},
		{
			name: "signature version 2", credentials: good, status: 501, code: "NotImplemented", says: "version 4",
			alter: func(r *http.Request) { r.Header.Set("Authorization", "AWS "+good.AccessKeyID+":c2lnbmF0dXJl") },
		},
		{
			name: "presigned with version 2", credentials: good, status: 501, code: "NotImplemented", says: "version 4",
			alter: func(r *http.Request) {
				r.Header.Del("Authorization")
				r.URL.RawQuery = "AWSAccessKeyId=" + good.AccessKeyID + "&Signature=x&Expires=9999999999"
			},
		},
		{
			name: "unsigned", credentials: good, status: 403, code: "AccessDenied",
			alter: func(r *http.Request) { r.Header = http.Header{} },
		},
		{
			name: "signed for another service", credentials: good, status: 400, code: "AuthorizationHeaderMalformed", says: `"sts"`,
			alter: func(r *http.Request) {
				sigv4.Sign(r, good.AccessKeyID, good.SecretAccessKey, good.SessionToken, region, "sts", hashOf(""), time.Now())
			},
		},
		{
			name: "signed an hour ago", credentials: good, status: 403, code: "RequestTimeTooSkewed",
			alter: func(r *http.Request) {
				sigv4.Sign(r, good.AccessKeyID, good.SecretAccessKey, good.SessionToken, region, "s3", hashOf(""), time.Now().Add(-time.Hour))
			},
		},
		{
			name: "header added on the way", credentials: good, status: 400, code: "AuthorizationHeaderMalformed", says: "Expected-Bucket-Owner",
			alter: func(r *http.Request) { r.Header.Set("X-Amz-Expected-Bucket-Owner", ours) },
		},
		{
			name: "key changed on the way", credentials: good, status: 403, code: "SignatureDoesNotMatch",
			alter: func(r *http.Request) { r.URL.Path = "/pay/b" },
		},
		{
			name: "query added on the way", credentials: good, status: 403, code: "SignatureDoesNotMatch",
			alter: func(r *http.Request) { r.URL.RawQuery = "response-content-type=text%2Fhtml" },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req := w.sign(t, c.credentials, in)
			if c.alter != nil {
				c.alter(req)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err = errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			seen := w.upstream.take()
			if (len(seen) == 1) != (c.status == 200) {
				t.Errorf("the upstream saw %d requests", len(seen))
			}
			checkMarks(t, resp)
			if c.status == 200 {
				if resp.StatusCode != 200 {
					t.Errorf("status %d: %s", resp.StatusCode, text)
				}
				return
			}
			if got := errorOf(t, string(text)); resp.StatusCode != c.status || got.Code != c.code || !strings.Contains(got.Message, c.says) {
				t.Errorf("got %d %s %q, want %d %s and %q in the message", resp.StatusCode, got.Code, got.Message, c.status, c.code, c.says)
			}
		})
	}
}

func TestExpiredAndRevokedRoleFallAtOnce(t *testing.T) {
	w := newWorld(t)
	reader := w.session(t, ours, allow("s3:GetObject", "*"))
	in := request{method: "GET", path: "/pay/a"}
	if resp, text := w.send(t, reader, in); resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, text)
	}
	w.upstream.take()
	if err := w.directory.DeletePolicy(t.Context(), directory.Roles.Named(ours, "role-1"), "s3"); err != nil {
		t.Fatal(err)
	}
	if resp, text := w.send(t, reader, in); resp.StatusCode != http.StatusForbidden {
		t.Errorf("after the policy is gone: status %d, want 403: %s", resp.StatusCode, text)
	}
	if err := w.directory.DeleteRole(t.Context(), ours, "role-1"); err != nil {
		t.Fatal(err)
	}
	if resp, text := w.send(t, reader, in); resp.StatusCode != http.StatusBadRequest || errorOf(t, text).Code != "InvalidToken" {
		t.Errorf("after the role is gone: status %d: %s, want 400 InvalidToken", resp.StatusCode, text)
	}
	if seen := w.upstream.take(); len(seen) != 0 {
		t.Errorf("the upstream saw %d requests, want none", len(seen))
	}
}

// A user's long-term key works here as well.
func TestLongTermKey(t *testing.T) {
	w := newWorld(t)
	key, err := w.directory.RecoverAdministrator(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	administrator := session.Credentials{AccessKeyID: key.ID, SecretAccessKey: string(key.Secret)}
	if resp, text := w.send(t, administrator, request{method: "GET", path: "/"}); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", resp.StatusCode, text)
	}
}

// The gateway asks for a body only when the request is allowed and the upstream wants it.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, statement, want string
	}{
		{"allowed", everything, "HTTP/1.1 100 Continue"},
		{"denied", allow("s3:GetObject", "*"), "HTTP/1.1 403 Forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := w.sign(t, w.session(t, ours, c.statement), request{method: "PUT", path: "/pay/a", body: "hello"})
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.gateway.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			var head strings.Builder
			head.WriteString("PUT /pay/a HTTP/1.1\r\nHost: " + req.URL.Host + "\r\nContent-Length: 5\r\nExpect: 100-continue\r\n")
			if err := req.Header.Write(&head); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, head.String()+"\r\n"); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(line); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Whatever the path: the name that policy is asked about is the name that a file system would find.
func FuzzSplitPath(f *testing.F) {
	for _, seed := range []string{"/", "/pay", "/pay/", "/pay/a/b", "/pay/%2e%2e/x", "/pay/a%2Fb", "/pay/a//b", "//", "/pay/%00", "/pay/a%", "pay"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		name, key, at, err := splitPath(escaped)
		if err != nil {
			if kind := fault.Of(err); kind != fault.Internal {
				t.Errorf("%q: kind %v", escaped, kind)
			}
			return
		}
		if at == object && path.Clean("/"+name+"/"+key) != "/"+name+"/"+strings.TrimSuffix(key, "/") {
			t.Errorf("%q: key %q moves", escaped, key)
		}
		c := call{op: &operation{level: at}, bucket: name, key: key}
		decoded, again := c.path()
		if name2, key2, at2, err := splitPath(again); err != nil || name2 != name || key2 != key || at2 != at {
			t.Errorf("%q: %q becomes %q at the upstream, which is %q %q", escaped, decoded, again, name2, key2)
		}
	})
}

// Whatever a document is: what is read of it is what the upstream reads of the one that is made of it.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		"", "<Tagging/>", "<Tagging><TagSet><Tag><Key>a</Key><Value>&lt;&#10;b ]]&gt;</Value></Tag></TagSet></Tagging>",
		`<?xml version="1.0" encoding="UTF-8"?><Tagging xmlns="` + namespace + `"><TagSet><Tag><Key><![CDATA[<x>]]></Key></Tag></TagSet></Tagging>`,
		"<Delete><Quiet>true</Quiet><Object><Key> a\r\nb </Key><VersionId>1</VersionId></Object></Delete>", "<Tagging", "<a:Tagging xmlns:a='urn:x'/>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, s := range []*schema{tagSet, deletions, parts, lifecycle} {
			read, err := s.parse(text)
			if err != nil {
				continue
			}
			again, err := s.parse(read.write())
			if err != nil || !reflect.DeepEqual(again, read) {
				t.Errorf("%q as %s is read as %+v and made to %q: %v", text, s.root, read, read.write(), err)
			}
		}
	})
}

// Whatever a copy's source is: the name that policy is asked about is the one that the upstream is told.
func FuzzCopySource(f *testing.F) {
	for _, seed := range []string{"pay/a", "/pay/a%20b", "pay/a?versionId=1", "pay/%2e%2e/b", "pay/a%3Fb", "pay/a+b", "//pay/a", "pay/a?versionId=%2e", "pay/a?versionId=+", "pay/a?versionId=%252e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		take := func(given string) (*name, string, error) {
			c := call{op: row("CopyObject"), headers: http.Header{copySource: {given}}}
			err := c.takeSource()
			return c.source, c.headers.Get(copySource), err
		}
		source, told, err := take(given)
		if err != nil {
			return
		}
		again, same, err := take(told)
		if err != nil || *again != *source || same != told {
			t.Errorf("%q is %+v, told as %q, which is %+v: %v", given, source, told, again, err)
		}
		if path.Clean("/"+source.bucket+"/"+source.key) != "/"+source.bucket+"/"+strings.TrimSuffix(source.key, "/") || hasDotSegment(source.version) {
			t.Errorf("%q: %+v moves", given, source)
		}
	})
}
