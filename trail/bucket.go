package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// Bucket is a sink in an S3 bucket (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html). Three requests need no
// SDK, whose credential chain would look for an identity elsewhere.
type Bucket struct {
	Endpoint     *url.URL // scheme and host; path style
	Bucket       string
	Prefix       string // ends in a slash unless empty
	Region       string
	KeyID        string
	SecretKey    string
	SessionToken string // empty: a long-term key
	Client       *http.Client
}

// maxAnswer bounds what is read of a store: a page of a list is below a tenth of it.
const maxAnswer = maxPacked + 1

// maxListed bounds what a list has, which is held in memory: it is more than a hundred writers bring on a day.
const maxListed = 250_000

var errTooMany = fmt.Errorf("more than %d files are in one place", maxListed)

func (b *Bucket) String() string { return "s3://" + b.Bucket + "/" + b.Prefix }

// Put stores an object. The signature covers its content, and so the store cannot take another for it.
func (b *Bucket) Put(ctx context.Context, name string, body []byte) error {
	_, err := b.do(ctx, http.MethodPut, b.Prefix+name, nil, body)
	return err
}

// Get reads an object.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	return b.do(ctx, http.MethodGet, b.Prefix+name, nil, nil)
}

// List asks for the objects page by page.
func (b *Bucket) List(ctx context.Context, prefix string) (files []File, prefixes []string, err error) {
	query := url.Values{"list-type": {"2"}, "delimiter": {"/"}, "prefix": {b.Prefix + prefix}}
	for {
		text, err := b.do(ctx, http.MethodGet, "", query, nil)
		if err != nil {
			return nil, nil, err
		}
		var page struct {
			Contents []struct {
				Key  string
				Size int64
			}
			CommonPrefixes        []struct{ Prefix string }
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := xml.Unmarshal(text, &page); err != nil {
			return nil, nil, fmt.Errorf("listing %s: %w", b, err)
		}
		for _, object := range page.Contents {
			files = append(files, File{strings.TrimPrefix(object.Key, b.Prefix), object.Size})
		}
		for _, below := range page.CommonPrefixes {
			prefixes = append(prefixes, strings.TrimPrefix(below.Prefix, b.Prefix))
		}
		if !page.IsTruncated || page.NextContinuationToken == "" {
			return files, prefixes, nil
		}
		if len(files)+len(prefixes) > maxListed {
			return nil, nil, errTooMany
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

func (b *Bucket) do(ctx context.Context, method, key string, query url.Values, body []byte) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	at := *b.Endpoint
	at.Path = "/" + b.Bucket
	if key != "" {
		at.Path += "/" + key
	}
	at.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	r, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	sigv4.Sign(r, b.KeyID, b.SecretKey, b.SessionToken, b.Region, "s3", hex.EncodeToString(sum[:]), time.Now())
	response, err := b.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		var told struct{ Code, Message string }
		_ = xml.Unmarshal(text, &told) // the status is told in any case
		err := fmt.Errorf("%s %s%s: %s %s %.200s", method, b, key, response.Status, told.Code, told.Message)
		if told.Code == "InvalidObjectState" || told.Code == "InvalidRequest" { // archived; encrypted under a key that comes with requests
			return nil, fault.New(fault.Invalid, "%w", err)
		}
		return nil, err
	}
	return text, nil
}
