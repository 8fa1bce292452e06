package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// goVersion is the core module's, which the modules of services go with.
var goVersion = goCase{"version", func(c *goClient) { c.note = aws.SDKVersion }}

var goUploadBucket = aws.String("pod-uploads-go")

var goUploads = []goCase{
	{"upload of a stream", func(c *goClient) {
		_, err := c.s3().CreateBucket(c, &s3.CreateBucketInput{Bucket: goUploadBucket})
		c.good("CreateBucket", err)
		stream := io.MultiReader(strings.NewReader("a stream "), strings.NewReader("of unknown length")) // not seekable
		_, err = c.s3().PutObject(c, &s3.PutObjectInput{Bucket: goUploadBucket, Key: aws.String("stream"), Body: stream})
		switch {
		case err == nil:
			c.sameObject("stream", "a stream of unknown length")
		case strings.Contains(err.Error(), "unseekable stream is not supported without TLS"):
			c.note = "the SDK asks for TLS"
		default:
			c.wrong("PutObject: %v", err)
		}
	}},
	{"multipart upload", func(c *goClient) {
		key := aws.String("parts")
		made, err := c.s3().CreateMultipartUpload(c, &s3.CreateMultipartUploadInput{Bucket: goUploadBucket, Key: key})
		if !c.good("CreateMultipartUpload", err) {
			return
		}
		pieces := [][]byte{bytes.Repeat([]byte("a"), 5<<20), []byte("the end")}
		var parts []s3types.CompletedPart
		for i, piece := range pieces {
			number := aws.Int32(int32(i + 1))
			part, err := c.s3().UploadPart(c, &s3.UploadPartInput{Bucket: goUploadBucket, Key: key, UploadId: made.UploadId, PartNumber: number, Body: bytes.NewReader(piece)})
			if !c.good("UploadPart", err) {
				return
			}
			parts = append(parts, s3types.CompletedPart{ETag: part.ETag, PartNumber: number})
		}
		_, err = c.s3().CompleteMultipartUpload(c, &s3.CompleteMultipartUploadInput{
			Bucket: goUploadBucket, Key: key, UploadId: made.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts},
		})
		if c.good("CompleteMultipartUpload", err) {
			c.sameObject("parts", string(bytes.Join(pieces, nil)))
		}
	}},
	{"presigned URL", func(c *goClient) {
		_, err := c.s3().PutObject(c, &s3.PutObjectInput{Bucket: goUploadBucket, Key: aws.String("small.txt"), Body: strings.NewReader(small)})
		c.good("PutObject", err)
		made, err := s3.NewPresignClient(c.s3()).PresignGetObject(c, &s3.GetObjectInput{Bucket: goUploadBucket, Key: aws.String("small.txt")})
		if !c.good("PresignGetObject", err) {
			return
		}
		got, err := http.Get(made.URL)
		if !c.good("GET", err) {
			return
		}
		c.equal("answer", c.read(got.Body), small)
	}},
}

func (c *goClient) sameObject(key, want string) {
	got, err := c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goUploadBucket, Key: aws.String(key)})
	if c.good("GetObject "+key, err) && c.read(got.Body) != want {
		c.wrong("%s is not what was sent", key)
	}
}

// goExpiry waits until the first session is refused as expired, which no client may be caught by.
func goExpiry(c *goClient) {
	first, err := c.aws.Credentials.Retrieve(c)
	if !c.good("credentials", err) {
		return
	}
	who := sts.NewFromConfig(c.aws)
	before, err := who.GetCallerIdentity(c, nil)
	if !c.good("GetCallerIdentity", err) {
		return
	}
	old := c.aws.Copy()
	old.Credentials = credentials.NewStaticCredentialsProvider(first.AccessKeyID, first.SecretAccessKey, first.SessionToken)
	for again := time.NewTicker(100 * time.Millisecond); ; <-again.C {
		if _, err = sts.NewFromConfig(old).GetCallerIdentity(c, nil); err != nil {
			break
		}
	}
	var expired smithy.APIError
	if !errors.As(err, &expired) || expired.ErrorCode() != "ExpiredToken" {
		c.wrong("the first session: %v, want it to expire", err)
	}
	after, err := who.GetCallerIdentity(c, nil)
	if c.good("GetCallerIdentity after the expiry", err) {
		c.contains("arn", *after.Arn, ":assumed-role/"+role+"/")
		if *after.Arn == *before.Arn {
			c.wrong("still %s, want a session of its own", *after.Arn)
		}
	}
	if now, err := c.aws.Credentials.Retrieve(c); err != nil || now.AccessKeyID == first.AccessKeyID {
		c.wrong("the expired key is still in use: %v", fmt.Sprint(err))
	}
}

func goPlain(c *goClient) {
	_, err := c.s3().ListBuckets(c, nil)
	if err == nil {
		c.wrong("a pod without an association got credentials")
		return
	}
	c.contains("error", err.Error(), "No pod identity association found for service account default/stranger.")
	if !strings.Contains(err.Error(), "ResourceNotFoundException: No pod") {
		c.note = "shown, not as an error code"
	}
}

func goTLS(c *goClient) {
	got, err := sts.NewFromConfig(c.aws).GetCallerIdentity(c, nil)
	if c.good("GetCallerIdentity", err) {
		c.contains("arn", aws.ToString(got.Arn), ":user/")
	}
}
