package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// name is what an object is called, and which version of it; "" is the present one.
type name struct{ bucket, key, version string }

func (n name) resource() string { return bucketARN(n.bucket + "/" + n.key) }

// need is one permission that a call takes.
type need struct {
	action, resource string
	tags             *name // the object whose tags a policy may ask for, nil: none
	ifTagged         *name // asked for only when this object has tags
}

// tag is one of an object or bucket.
type tag struct{ key, value string }

// meaning is what a call comes to once its headers and its document are understood.
type meaning struct {
	document *element       // the body of an operation that takes one
	source   *name          // of a copy
	tags     []tag          // that the request brings for an object
	needs    []need         // the first is that of the row's action; none for a batch
	batch    []deletion     // what DeleteObjects names
	base     policy.Context // the condition keys of every question about this call
}

// understand finds out what a call needs, from headers and the document that was read.
func (c *call) understand() error {
	if len(c.headers) > 0 || c.document != nil {
		for _, take := range [...]func(*call) error{
			(*call).takeSource, (*call).takeTags, (*call).takeLock, (*call).takeDirectives, (*call).takeBatch,
		} {
			if err := take(c); err != nil {
				return err
			}
		}
	}
	if c.op.document == deletions {
		return nil
	}
	n := need{action: c.op.action, resource: c.resource()}
	if c.query.Has(versionID) {
		n.action = c.op.versioned
	}
	if c.op.tagged {
		n.tags = c.target()
	}
	c.needs = []need{n}
	if c.op.also != nil {
		c.needs = append(c.needs, c.op.also(c)...)
	}
	return nil
}

// target returns the object that the path names.
func (c *call) target() *name {
	return &name{bucket: c.bucket, key: c.key, version: c.query.Get(versionID)}
}

// takeSource reads where a copy comes from and writes it anew, in the one form that every store reads alike.
func (c *call) takeSource() error {
	given := c.headers.Get(copySource)
	if given == "" {
		if c.op.header == copySource {
			return fault.New(fault.Invalid, "the header %s is empty: BUCKET/KEY is accepted", copySource)
		}
		return nil
	}
	path, rawQuery, hasQuery := strings.Cut(given, "?")
	bucketName, key, at, err := splitPath("/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		_, why := codeOf(err)
		return fault.New(fault.Invalid, "the header %s is %.100q, which names no object: %s", copySource, given, why)
	}
	rawVersion, isVersion := strings.CutPrefix(rawQuery, versionID+"=")
	version, err := url.PathUnescape(rawVersion)
	if at != object || hasQuery && (!isVersion || err != nil || !isID(version)) {
		return fault.New(fault.Invalid, "the header %s is %q: BUCKET/KEY and BUCKET/KEY?versionId=ID are accepted", copySource, given)
	}
	c.source = &name{bucket: bucketName, key: key, version: version}
	again := bucketName + "/" + escapeKey(key)
	if version != "" {
		again += "?" + versionID + "=" + escapeKey(version)
	}
	c.headers.Set(copySource, again)
	return nil
}

// takeTags reads the tags that a request brings, and writes those of a header anew.
func (c *call) takeTags() error {
	if c.op.document == tagSet {
		for _, e := range c.document.child("TagSet").all("Tag") {
			c.tags = append(c.tags, tag{key: e.value("Key"), value: e.value("Value")})
		}
		most := 10
		if c.op.level == bucket {
			most = 50
		}
		return checkTags(c.tags, most)
	}
	given := c.headers.Get(tagging)
	if c.op.header == copySource && c.headers.Get(taggingDirective) != "REPLACE" {
		c.headers.Del(tagging) // the source's tags count
		return nil
	}
	if given == "" {
		c.headers.Del(tagging)
		return nil
	}
	values, err := url.ParseQuery(given)
	if err != nil {
		return fault.New(fault.Invalid, "the header x-amz-tagging is %.100q: NAME=VALUE pairs joined by & are accepted", given)
	}
	for key, all := range values {
		if len(all) != 1 {
			return invalidTag.refusal()
		}
		c.tags = append(c.tags, tag{key: key, value: all[0]})
	}
	slices.SortFunc(c.tags, func(a, b tag) int { return strings.Compare(a.key, b.key) })
	c.headers.Set(tagging, strings.ReplaceAll(values.Encode(), "+", "%20"))
	return checkTags(c.tags, 10)
}

var invalidTag = code{"InvalidTag", http.StatusBadRequest, "The tag provided was not a valid tag."}

// checkTags holds tags against the bounds of
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html. Keys that differ by case alone would be one to a
// policy.
func checkTags(tags []tag, most int) error {
	if len(tags) > most {
		return refuse(invalidTag, "%d tags: at most %d are accepted", len(tags), most)
	}
	for i, t := range tags {
		if t.key == "" || utf8.RuneCountInString(t.key) > 128 || utf8.RuneCountInString(t.value) > 256 || !utf8.ValidString(t.key+t.value) {
			return refuse(invalidTag, "the tag %.140q is not accepted: keys of 1 to 128 characters and values of up to 256 are", t.key)
		}
		if slices.ContainsFunc(tags[:i], func(u tag) bool { return strings.EqualFold(u.key, t.key) }) {
			return refuse(invalidTag, "the tag %.140q stands twice", t.key)
		}
	}
	return nil
}

// takeLock holds what is said about object lock against what S3 knows.
func (c *call) takeLock() error {
	mode, until, hold := c.lock()
	if c.document != nil && (mode != "" && !slices.Contains(directives[lockMode], mode) || hold != "" && !slices.Contains(directives[lockHold], hold)) {
		return fault.New(fault.Invalid, "object lock of mode %.100q and legal hold %.100q: GOVERNANCE, COMPLIANCE, ON and OFF are accepted", mode, hold)
	}
	if _, err := time.Parse(time.RFC3339, until); err != nil && (until != "" || c.headers[lockUntil] != nil) {
		return fault.New(fault.Invalid, "object lock until %.100q: a time like 2026-11-25T09:00:00Z is accepted", until)
	}
	return nil
}

// lock returns what the request says about object lock.
func (c *call) lock() (mode, until, hold string) {
	switch c.op.document {
	case retention:
		return c.document.value("Mode"), c.document.value("RetainUntilDate"), ""
	case legalHold:
		return "", "", c.document.value("Status")
	}
	return c.headers.Get(lockMode), c.headers.Get(lockUntil), c.headers.Get(lockHold)
}

// directives are headers with a closed set of values: a reader that did not know one might fall back to another.
var directives = map[string][]string{
	"X-Amz-Metadata-Directive": {"COPY", "REPLACE"}, taggingDirective: {"COPY", "REPLACE"},
	bypassGovernance: {"true", "false"}, newLock: {"true", "false"},
	lockMode: {"GOVERNANCE", "COMPLIANCE"}, lockHold: {"ON", "OFF"},
}

func (c *call) takeDirectives() error {
	for name, accepted := range directives {
		if values := c.headers[name]; len(values) == 1 && !slices.Contains(accepted, values[0]) {
			return fault.New(fault.Invalid, "the header %s is %.100q: %s are accepted", strings.ToLower(name), values[0], strings.Join(accepted, " and "))
		}
	}
	return nil
}

// all returns the children of a name.
func (e *element) all(name string) (found []*element) {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// needsOfBucket are those of a new bucket with object lock, which is versioned.
func (c *call) needsOfBucket() []need {
	if c.headers.Get(newLock) != "true" {
		return nil
	}
	return []need{
		{action: "s3:PutBucketObjectLockConfiguration", resource: c.resource()},
		{action: "s3:PutBucketVersioning", resource: c.resource()},
	}
}

// needsOfObject are those of what comes with a new object.
func (c *call) needsOfObject() (all []need) {
	mode, until, hold := c.lock()
	for _, also := range []struct {
		is     bool
		action string
	}{{len(c.tags) > 0, "s3:PutObjectTagging"}, {mode+until != "", "s3:PutObjectRetention"}, {hold != "", "s3:PutObjectLegalHold"}} {
		if also.is {
			all = append(all, need{action: also.action, resource: c.resource()})
		}
	}
	return all
}

// needsOfCopy are those at the source, and of what goes over with it.
func (c *call) needsOfCopy() []need {
	get, getTags := "s3:GetObject", "s3:GetObjectTagging"
	if c.source.version != "" {
		get, getTags = "s3:GetObjectVersion", "s3:GetObjectVersionTagging"
	}
	all := append([]need{{action: get, resource: c.source.resource(), tags: c.source}}, c.needsOfObject()...)
	if c.op.selector == "" && c.headers.Get(taggingDirective) != "REPLACE" { // no part has tags
		all = append(all,
			need{action: getTags, resource: c.source.resource(), tags: c.source, ifTagged: c.source},
			need{action: "s3:PutObjectTagging", resource: c.resource(), ifTagged: c.source})
	}
	return all
}

// needsOfAttributes are those of an object of which more than its attributes can be had.
func (c *call) needsOfAttributes() []need {
	action := "s3:GetObject"
	if c.query.Has(versionID) {
		action = "s3:GetObjectVersion"
	}
	return []need{{action: action, resource: c.resource(), tags: c.target()}}
}

// needsOfBypass are those of who deletes or changes what is locked in governance mode.
func (c *call) needsOfBypass() []need {
	if !c.bypasses() {
		return nil
	}
	return []need{{action: "s3:BypassGovernanceRetention", resource: c.resource()}}
}

func (c *call) bypasses() bool { return c.headers.Get(bypassGovernance) == "true" }
