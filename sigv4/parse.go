package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// Bounds of what is read before anyone is known. Session tokens travel in their own header and do not count.
const (
	maxAuthorization = 8 << 10  // bytes of the Authorization header
	maxQuery         = 32 << 10 // bytes of a presigned query, with its session token
	maxSignedHeaders = 100
	maxHeaderName    = 128 // bytes
	maxScopePart     = 128 // bytes of a key id, region or service
)

// The forms that clients send and that are not served, each with what to set at the client instead.
const (
	refuseV2Header = "signature version 2 is not served: use signature version 4 " +
		"(aws configure set default.s3.signature_version s3v4)"
	refuseV2Query = "a presigned URL of signature version 2 is not served: presign with version 4 " +
		"(aws configure set default.s3.signature_version s3v4)"
	refuseV4A = "signature version 4A (AWS4-ECDSA-P256-SHA256) is not served: use signature version 4 " +
		"(AWS_AUTH_SCHEME_PREFERENCE=sigv4)"
	refusePresigned = "a presigned URL (X-Amz-* in the query) for %.100q with the method %.100q is not served: s3 takes one, and sts a GET; " +
		"sign other requests in their Authorization header"
	refuseForm      = "a browser form (POST policy) is not served: use PutObject, signed in its Authorization header"
	refuseExpress   = "service s3express (directory buckets) is not served: use a bucket whose name does not end in --x-s3"
	refuseStreaming = "X-Amz-Content-Sha256 %.100q with a presigned URL is not served: send the body as it is, with %s"
	refuseUnsigned  = "X-Amz-Content-Sha256 %.100q at service %.100q: only s3 takes an unsigned body; send the SHA-256 of the body in hex"
)

// Parse reads the authorization of a request and holds its parts against each other and against the headers present.
// It looks nothing up and does not read the body. The errors are MissingAuth (no signature at all), Unsupported (a scheme
// refused by name, with the setting to use) and IncompleteAuth (everything else).
func Parse(r *http.Request) (*Signature, error) {
	s, err := parse(r)
	if err != nil {
		return nil, err
	}
	// Who holds a presigned URL may be anybody, so it opens as few doors as possible.
	if s.Presigned() && s.Service != s3 && (s.Service != sts || r.Method != http.MethodGet) {
		return nil, fault.New(fault.Unsupported, refusePresigned, s.Service, r.Method)
	}
	return s, nil
}

// parse is Parse for a presigned URL of any service.
func parse(r *http.Request) (*Signature, error) {
	header, inQuery, err := authorization(r)
	if err != nil {
		return nil, err
	}
	read := parseAuthorization
	if inQuery {
		read, header = parseQuery, r.URL.RawQuery
	}
	s, err := read(header)
	if err != nil {
		return nil, err
	}
	for _, read := range [...]func(*Signature, *http.Request) error{
		(*Signature).readTime, (*Signature).checkHeaders, (*Signature).readPayloadHash, (*Signature).readToken,
	} {
		if err := read(s, r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// authorization returns the one header of a request that is signed there, or says that it is signed in the query: with a
// second signature, two readers could believe two principals.
func authorization(r *http.Request) (header string, inQuery bool, err error) {
	values := r.Header["Authorization"]
	name, refusal := queryAuthentication(r.URL.RawQuery)
	switch {
	case len(values) > 1:
		return "", false, incomplete("%d Authorization headers: exactly one is accepted", len(values))
	case len(values) == 1 && name != "":
		return "", false, incomplete("authentication both in the Authorization header and in the query (%.100q): exactly one of them is accepted", name)
	case refusal != "":
		return "", false, fault.New(fault.Unsupported, "%s", refusal)
	case len(values) == 1:
		return values[0], false, nil
	case name != "":
		return "", true, nil
	case r.Method == http.MethodPost && isForm(r.Header.Get("Content-Type")):
		return "", false, fault.New(fault.Unsupported, refuseForm)
	}
	return "", false, fault.New(fault.MissingAuth,
		"the request is not signed: an Authorization header of %s is accepted (no anonymous calls, so no --no-sign-request; "+
			"some clients ask so when they got no credentials)", algorithm)
}

func isForm(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "multipart/form-data")
}

// parseAuthorization reads AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=… in any order, each exactly once.
func parseAuthorization(header string) (*Signature, error) {
	if len(header) > maxAuthorization {
		return nil, incomplete("an Authorization header of %d bytes: at most %d are accepted", len(header), maxAuthorization)
	}
	scheme, rest, _ := strings.Cut(header, " ")
	switch scheme {
	case algorithm:
	case "AWS":
		return nil, fault.New(fault.Unsupported, refuseV2Header)
	case "AWS4-ECDSA-P256-SHA256":
		return nil, fault.New(fault.Unsupported, refuseV4A)
	default:
		return nil, incomplete("an Authorization header of another scheme: %s is accepted", algorithm)
	}
	var credential, signedHeaders, signature string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.Trim(part, " "), "=")
		var field *string
		switch name {
		case "Credential":
			field = &credential
		case "SignedHeaders":
			field = &signedHeaders
		case "Signature":
			field = &signature
		default:
			return nil, incomplete("an Authorization header with part %.100q: Credential, SignedHeaders and Signature are accepted", name)
		}
		if *field != "" {
			return nil, incomplete("an Authorization header with two parts %.100q: exactly one is accepted", name)
		}
		if value == "" {
			return nil, incomplete("an Authorization header with an empty part %.100q", name)
		}
		*field = value
	}
	for _, part := range [...]struct{ name, value string }{
		{"Credential", credential}, {"SignedHeaders", signedHeaders}, {"Signature", signature},
	} {
		if part.value == "" {
			return nil, incomplete("an Authorization header without %s: Credential, SignedHeaders and Signature are needed", part.name)
		}
	}
	return newSignature(credential, signedHeaders, signature)
}

// newSignature reads the three parts that both forms have.
func newSignature(credential, signedHeaders, signature string) (*Signature, error) {
	s := &Signature{}
	if err := s.readCredential(credential); err != nil {
		return nil, err
	}
	if err := s.readSignedHeaders(signedHeaders); err != nil {
		return nil, err
	}
	if !isHash(signature) {
		return nil, incomplete("Signature %.100q: 64 hex digits in lower case are accepted", signature)
	}
	if _, err := hex.Decode(s.mac[:], []byte(signature)); err != nil {
		return nil, incomplete("Signature %.100q: 64 hex digits in lower case are accepted", signature)
	}
	return s, nil
}

func (s *Signature) readCredential(credential string) error {
	keyID, scope, _ := strings.Cut(credential, "/")
	date, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, last, _ := strings.Cut(rest, "/")
	if last != terminator || !isScopePart(keyID) || !isScopePart(region) || !isScopePart(service) {
		return incomplete("Credential %.100q: KEYID/YYYYMMDD/REGION/SERVICE/%s is accepted, of letters, digits, '-', '_' and '.'", credential, terminator)
	}
	if service == "s3express" {
		return fault.New(fault.Unsupported, refuseExpress)
	}
	s.KeyID, s.Date, s.Region, s.Service, s.scope = keyID, date, region, service, scope
	return nil
}

func isScopePart(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxScopePart
}

func (s *Signature) readSignedHeaders(list string) error {
	if n := strings.Count(list, ";") + 1; n > maxSignedHeaders {
		return incomplete("SignedHeaders names %d headers: at most %d are accepted", n, maxSignedHeaders)
	}
	s.SignedHeaders = strings.Split(list, ";")
	for i, name := range s.SignedHeaders {
		if !isLowerToken(name) {
			return incomplete("SignedHeaders has %.100q: header names in lower case are accepted, separated by ';'", name)
		}
		if i > 0 && name <= s.SignedHeaders[i-1] {
			return incomplete("SignedHeaders has %.100q after %.100q: sorted names, each once, are accepted", name, s.SignedHeaders[i-1])
		}
	}
	if !s.signs("host") {
		return incomplete("SignedHeaders %.100q lacks host", list)
	}
	return nil
}

// isLowerToken reports whether s is a header name in lower case (a token of RFC 9110 section 5.6.2).
func isLowerToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxHeaderName
}

func (s *Signature) signs(name string) bool {
	_, found := slices.BinarySearch(s.SignedHeaders, name)
	return found
}

// readTime takes the time of signing from X-Amz-Date, else from Date. Its day must be the scope's: else a key for one day
// would sign for another.
func (s *Signature) readTime(r *http.Request) error {
	name := amzDate
	text, err := s.one(r, name)
	if err != nil {
		return err
	}
	if text == "" && s.Presigned() {
		return incomplete("the query lacks %s", name)
	}
	if text == "" {
		name = "Date"
		if text, err = single(r, name); err != nil {
			return err
		}
		if text == "" {
			return incomplete("neither X-Amz-Date nor Date: the time of signing is needed in one of them")
		}
		if !s.signs("date") {
			return incomplete("Date is the time of signing, and SignedHeaders lacks date")
		}
	}
	s.Time, err = time.Parse(timeForm, text)
	if err != nil && name == "Date" {
		s.Time, err = http.ParseTime(text)
	}
	if err != nil {
		return incomplete("%s %.100q: a time like %s is accepted", name, text, timeForm)
	}
	s.Time = s.Time.UTC()
	if day := s.Time.Format(dateForm); s.Date != day {
		return incomplete("Credential has date %.100q and %s is of %.100q: the same day is accepted", s.Date, name, day)
	}
	return nil
}

// checkHeaders demands that each signed header is there and that each X-Amz-* header is signed, as S3 does: most of them
// change what a request does, so an unsigned one could be added by anyone on the way.
func (s *Signature) checkHeaders(r *http.Request) error {
	for _, name := range s.SignedHeaders {
		if !hasHeader(r, name) {
			return incomplete("SignedHeaders has %.100q, and the request has no such header", name)
		}
	}
	for name := range r.Header {
		if isAmz(name) && !s.signs(strings.ToLower(name)) {
			return incomplete("the header %.100q is not in SignedHeaders: every X-Amz-* header must be", name)
		}
	}
	length, err := single(r, "Content-Length")
	if err != nil {
		return err
	}
	// The server frames the body by its own reading of the length; a header that says otherwise would be signed in vain.
	if length != "" && length != strconv.FormatInt(r.ContentLength, 10) {
		return incomplete("Content-Length %.100q is not the length of the body as received", length)
	}
	return nil
}

func (s *Signature) readPayloadHash(r *http.Request) error {
	hash, err := s.one(r, contentHash)
	if err == nil && hash == "" && s.Presigned() {
		hash, err = single(r, contentHash) // as a header that is signed: the URL is then good for this one body
	}
	if err != nil {
		return err
	}
	if hash == "" && s.Presigned() && s.Service == s3 {
		hash = UnsignedPayload // S3's rule, since who made the URL did not know the body
	}
	switch {
	case isHash(hash):
	case hash == "" && s.Service != s3:
	case hash == "":
		return incomplete("no X-Amz-Content-Sha256: service s3 needs it, with the SHA-256 of the body in hex or %s", UnsignedPayload)
	case hash == streamingV4A, hash == streamingV4ATrailer:
		return fault.New(fault.Unsupported, refuseV4A)
	case (hash == UnsignedPayload || isStreaming(hash)) && s.Service != s3:
		return fault.New(fault.Unsupported, refuseUnsigned, hash, s.Service)
	case isStreaming(hash) && s.Presigned():
		return fault.New(fault.Unsupported, refuseStreaming, hash, UnsignedPayload)
	case hash == UnsignedPayload, isStreaming(hash):
	default:
		return incomplete("X-Amz-Content-Sha256 %.100q: 64 hex digits in lower case are accepted, and at service s3 %s, %s, %s and %s",
			hash, UnsignedPayload, StreamingSigned, StreamingSignedTrailer, StreamingUnsignedTrailer)
	}
	s.PayloadHash = hash
	return nil
}

func (s *Signature) readToken(r *http.Request) (err error) {
	s.Token, err = s.one(r, securityToken)
	return err
}

// one returns a part of the signature from where the signature is: with another one in the other place, two readers could
// believe two of them. The hash of the body alone may stand in a header beside a signed query.
func (s *Signature) one(r *http.Request, name string) (string, error) {
	header, err := single(r, name)
	if err != nil || !s.Presigned() {
		return header, err
	}
	value := s.query[name]
	if header != "" && (value != "" || name != contentHash) {
		return "", incomplete("the header %s with a signature in the query: there, %s is accepted in the query", name, name)
	}
	return value, nil
}

// single returns the value of a header that may stand once; name is in canonical form. Two values are refused, since two
// readers could take different ones.
func single(r *http.Request, name string) (string, error) {
	values := r.Header[name]
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", incomplete("%d headers %s: at most one is accepted", len(values), name)
}

// incomplete makes the error of most refusals. Values are quoted up to 100 bytes (%.100q), so that an answer stays short
// whatever was sent.
func incomplete(format string, args ...any) error {
	return fault.New(fault.IncompleteAuth, format, args...)
}
