package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

const (
	existingTag = "ExistingObjectTag"
	// lookupTime is how long the upstream may take to tell the tags of an object, or by which rules a page may use a bucket.
	lookupTime = 10 * time.Second
)

var getObjectTagging = row("GetObjectTagging")

// existing returns the condition keys of the tags that an object has, for a caller whose policies ask for one. The gateway
// looks with its own key; what cannot be found out is refused, since a Deny may ask for it.
func (g *Gateway) existing(ctx context.Context, p *directory.Principal, of *name) (policy.Context, error) {
	if of == nil || !p.Layers.Mentions("s3:existingobjecttag/") {
		return nil, nil
	}
	tags, err := g.tagsOf(ctx, of)
	if err != nil || len(tags) == 0 {
		return nil, err
	}
	return tagKeys(existingTag, tags)[:len(tags)], nil
}

// tagsOf asks the upstream for the tags of an object. One that is not there has none.
func (g *Gateway) tagsOf(ctx context.Context, of *name) ([]tag, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	c := &call{op: getObjectTagging, bucket: of.bucket, key: of.key, query: url.Values{"tagging": {""}}}
	if of.version != "" {
		c.query.Set(versionID, of.version)
	}
	resp, err := g.send(ctx, c, nothing(), emptyHash)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // its error was already Read's
	if resp.StatusCode != http.StatusOK {
		err := refusalOf(c, resp)
		var upstream *refusal
		if errors.As(err, &upstream) && upstream.code.status == http.StatusNotFound {
			return nil, nil
		}
		return nil, unknownTags(err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, documentBytes))
	if err != nil {
		return nil, unavailable(err)
	}
	root, err := tagSet.parse(text)
	if err != nil {
		return nil, unknownTags(err)
	}
	var tags []tag
	for _, e := range root.child("TagSet").all("Tag") {
		tags = append(tags, tag{key: e.value("Key"), value: e.value("Value")})
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.key, b.key) })
	if err := checkTags(tags, 50); err != nil {
		return nil, unknownTags(err)
	}
	return tags, nil
}

// unknownTags hides what went wrong, code and all: it is between the gateway and its upstream.
func unknownTags(cause error) error {
	return fault.Hide(fault.Unavailable, errors.New("looking for tags: "+cause.Error()), "The tags of an object, for which a policy asks, cannot be found out.")
}
