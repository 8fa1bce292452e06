package gateway

import (
	"crypto/tls"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/sigv4"
)

// conditionHeaders are the headers that policies may ask for as s3:NAME.
var conditionHeaders = []string{
	"if-match", "if-none-match", "x-amz-metadata-directive", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
	"x-amz-storage-class",
}

// context returns the condition keys of every question about a call
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html). The keys of S3 are put together for a
// caller whose policies ask for one; most do not.
func (g *Gateway) context(r *http.Request, sig *sigv4.Signature, p *directory.Principal, c *call) policy.Context {
	ctx := api.RequestContext(r, g.config.Region)
	if p.Layers.Mentions("aws:resourceaccount") {
		ctx = append(ctx, policy.Entry{Key: "aws:ResourceAccount", Values: []string{g.config.Account}})
	}
	if !p.Layers.Mentions("s3:") {
		return ctx
	}
	add := func(key string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			ctx = append(ctx, policy.Entry{Key: "s3:" + key, Values: values})
		}
	}
	add("ResourceAccount", g.config.Account)
	add("authType", authType(sig))
	add("signatureversion", "AWS4-HMAC-SHA256")
	add("signatureAge", strconv.FormatInt(max(0, g.config.Now().Sub(sig.Time).Milliseconds()), 10))
	add("x-amz-content-sha256", sig.PayloadHash)
	add("TlsVersion", tlsVersion(r))
	for _, name := range c.op.keys {
		if c.query.Has(name) { // also an empty one
			ctx = append(ctx, policy.Entry{Key: "s3:" + name, Values: []string{c.query.Get(name)}})
		}
	}
	add("versionid", c.query.Get(versionID))
	for _, name := range conditionHeaders {
		add(name, c.headers.Get(name))
	}
	add("x-amz-acl", c.acl)
	if c.source != nil {
		add("x-amz-copy-source", c.source.bucket+"/"+c.source.key)
	}
	if c.op.document == newBucket {
		add("LocationConstraint", c.document.value("LocationConstraint"))
	}
	mode, until, hold := c.lock()
	add("object-lock-mode", mode)
	add("object-lock-legal-hold", hold)
	if at, err := time.Parse(time.RFC3339, until); err == nil {
		add("object-lock-retain-until-date", at.UTC().Format(time.RFC3339))
		days := math.Ceil(at.Sub(g.config.Now()).Hours() / 24)
		add("object-lock-remaining-retention-days", strconv.FormatFloat(max(0, days), 'f', 0, 64))
	}
	if c.op.level == object {
		ctx = append(ctx, tagKeys("RequestObjectTag", c.tags)...)
	}
	return ctx
}

// tagKeys are the condition keys of tags, each under the name, and of all their keys.
func tagKeys(name string, tags []tag) policy.Context {
	if len(tags) == 0 {
		return nil
	}
	keys, ctx := make([]string, len(tags)), make(policy.Context, len(tags), len(tags)+1)
	for i, t := range tags {
		keys[i], ctx[i] = t.key, policy.Entry{Key: "s3:" + name + "/" + t.key, Values: []string{t.value}}
	}
	slices.Sort(keys)
	return append(ctx, policy.Entry{Key: "s3:" + name + "Keys", Values: keys})
}

// authType says where the signature stands.
func authType(sig *sigv4.Signature) string {
	if sig.Presigned() {
		return "REST-QUERY-STRING"
	}
	return "REST-HEADER"
}

// tlsVersion returns a number such as 1.3, or "" without TLS.
func tlsVersion(r *http.Request) string {
	if r.TLS == nil {
		return ""
	}
	return strings.TrimPrefix(tls.VersionName(r.TLS.Version), "TLS ")
}
