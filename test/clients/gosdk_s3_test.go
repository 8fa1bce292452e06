package clients

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const small = "hello from a pod\n"

// large is 3 MB, more than the SDKs send without asking first.
var large = func() string {
	b := make([]byte, 3_012_000)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return string(b)
}()

var (
	goBucket = aws.String("pod-" + golang)
	smallKey = aws.String("small.txt")
	largeKey = aws.String("large.bin")
)

var goPod = []goCase{
	{"fetch by the default chain", func(c *goClient) {
		got, err := c.aws.Credentials.Retrieve(c)
		if c.good("credentials", err) {
			c.equal("source", got.Source, endpointcreds.ProviderName)
			c.equal("access key id", got.AccessKeyID[:4], "ASIA")
		}
	}},
	{"GetCallerIdentity", func(c *goClient) {
		got, err := sts.NewFromConfig(c.aws).GetCallerIdentity(c, nil)
		if c.good("GetCallerIdentity", err) {
			c.contains("Arn", *got.Arn, ":assumed-role/"+role+"/eks-dev-go-sdk-")
		}
	}},
	{"ListBuckets", func(c *goClient) {
		got, err := c.s3().ListBuckets(c, nil)
		if !c.good("ListBuckets", err) {
			return
		}
		var names []string
		for _, b := range got.Buckets {
			names = append(names, *b.Name)
		}
		c.contains("names", strings.Join(names, " "), "infra-lower-c65432gh")
		c.contains("names", strings.Join(names, " "), "eks-charts-manifest-67565rr")
	}},
	{"CreateBucket", func(c *goClient) {
		_, err := c.s3().CreateBucket(c, &s3.CreateBucketInput{Bucket: goBucket})
		c.good("CreateBucket", err)
		_, err = c.s3().CreateBucket(c, &s3.CreateBucketInput{Bucket: goBucket})
		typed[*types.BucketAlreadyOwnedByYou](c, "the same again", err)
	}},
	{"HeadBucket", func(c *goClient) {
		_, err := c.s3().HeadBucket(c, &s3.HeadBucketInput{Bucket: goBucket})
		c.good("HeadBucket", err)
		_, err = c.s3().HeadBucket(c, &s3.HeadBucketInput{Bucket: aws.String("pod-missing")})
		typed[*types.NotFound](c, "a missing one", err)
	}},
	{"PutObject, small", func(c *goClient) {
		_, err := c.s3().PutObject(c, &s3.PutObjectInput{
			Bucket: goBucket, Key: smallKey, Body: strings.NewReader(small), ContentType: aws.String("text/plain"), Metadata: map[string]string{"team": "pay"},
		})
		c.good("PutObject", err)
	}},
	{"PutObject, 3 MB with 100-continue", func(c *goClient) {
		asked := false
		ctx := httptrace.WithClientTrace(c, &httptrace.ClientTrace{Got1xxResponse: func(status int, _ textproto.MIMEHeader) error {
			asked = asked || status == http.StatusContinue
			return nil
		}})
		_, err := c.s3().PutObject(ctx, &s3.PutObjectInput{Bucket: goBucket, Key: largeKey, Body: strings.NewReader(large)})
		c.good("PutObject", err)
		c.equal("asked first", asked, true)
	}},
	{"GetObject", func(c *goClient) {
		for key, want := range map[*string]string{smallKey: small, largeKey: large} {
			got, err := c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: key})
			if c.good(*key, err) && c.read(got.Body) != want {
				c.wrong("%s: the bytes differ", *key)
			}
		}
	}},
	{"HeadObject", func(c *goClient) {
		got, err := c.s3().HeadObject(c, &s3.HeadObjectInput{Bucket: goBucket, Key: smallKey})
		if c.good("HeadObject", err) {
			c.equal("length", aws.ToInt64(got.ContentLength), int64(len(small)))
			c.equal("type", aws.ToString(got.ContentType), "text/plain")
			c.equal("metadata", got.Metadata, map[string]string{"team": "pay"})
		}
		_, err = c.s3().HeadObject(c, &s3.HeadObjectInput{Bucket: goBucket, Key: aws.String("missing")})
		typed[*types.NotFound](c, "a missing one", err)
	}},
	{"GetObject, range", func(c *goClient) {
		got, err := c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: largeKey, Range: aws.String("bytes=1000000-1000099")})
		if c.good("GetObject", err) {
			c.equal("bytes", c.read(got.Body), large[1000000:1000100])
			c.equal("range", aws.ToString(got.ContentRange), "bytes 1000000-1000099/3012000")
		}
		_, err = c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: smallKey, Range: aws.String("bytes=1000-")})
		c.refused("a range beyond the end", err, "InvalidRange", "")
	}},
	{"GetObject, If-None-Match", func(c *goClient) {
		head, err := c.s3().HeadObject(c, &s3.HeadObjectInput{Bucket: goBucket, Key: smallKey})
		if !c.good("HeadObject", err) {
			return
		}
		_, err = c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: smallKey, IfNoneMatch: head.ETag})
		var status *awshttp.ResponseError
		if !errors.As(err, &status) || status.HTTPStatusCode() != http.StatusNotModified {
			c.wrong("with the tag that it has: %v, want status 304", err)
		}
		_, err = c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: smallKey, IfMatch: aws.String(`"other"`)})
		c.refused("with another tag", err, "PreconditionFailed", "")
	}},
	{"PutObject, If-None-Match", func(c *goClient) {
		_, err := c.s3().PutObject(c, &s3.PutObjectInput{Bucket: goBucket, Key: smallKey, Body: strings.NewReader("new"), IfNoneMatch: aws.String("*")})
		c.refused("over one that is there", err, "PreconditionFailed", "")
	}},
	{"odd keys", goOddKeys},
	{"keys that the store would change", goBadKeys},
	{"ListObjects", func(c *goClient) { goList(c, s3Pages) }},
	{"ListObjectsV2", func(c *goClient) { goList(c, s3PagesV2) }},
	{"AccessDenied", goDenied},
	{"copies, tags, versions, batches", goMore},
	{"operations not served", goNotServed},
	{"EKS and IAM are denied to a pod", func(c *goClient) {
		at := aws.String(os.Getenv("TRIED_ENDPOINT"))
		_, err := eks.NewFromConfig(c.aws, func(o *eks.Options) { o.BaseEndpoint = at }).ListClusters(c, nil)
		c.refused("ListClusters", err, "AccessDeniedException", "eks:ListClusters")
		_, err = iam.NewFromConfig(c.aws, func(o *iam.Options) { o.BaseEndpoint = at }).GetRole(c, &iam.GetRoleInput{RoleName: aws.String(role)})
		c.refused("GetRole", err, "AccessDenied", "iam:GetRole")
	}},
	{"DeleteObject", func(c *goClient) {
		for _, key := range c.keys("") {
			_, err := c.s3().DeleteObject(c, &s3.DeleteObjectInput{Bucket: goBucket, Key: aws.String(key)})
			c.good(key, err)
		}
		_, err := c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: smallKey})
		typed[*types.NoSuchKey](c, "GetObject after it", err)
		_, err = c.s3().DeleteObject(c, &s3.DeleteObjectInput{Bucket: goBucket, Key: smallKey})
		c.good("what is not there", err)
	}},
	{"DeleteBucket", func(c *goClient) {
		c.put("last", "")
		_, err := c.s3().DeleteBucket(c, &s3.DeleteBucketInput{Bucket: goBucket})
		c.refused("a full one", err, "BucketNotEmpty", "")
		_, err = c.s3().DeleteObject(c, &s3.DeleteObjectInput{Bucket: goBucket, Key: aws.String("last")})
		c.good("DeleteObject", err)
		_, err = c.s3().DeleteBucket(c, &s3.DeleteBucketInput{Bucket: goBucket})
		c.good("DeleteBucket", err)
		_, err = c.s3().ListObjectsV2(c, &s3.ListObjectsV2Input{Bucket: goBucket})
		typed[*types.NoSuchBucket](c, "ListObjectsV2 after it", err)
	}},
}

func (c *goClient) s3() *s3.Client { return s3.NewFromConfig(c.aws) }

func (c *goClient) put(key, text string) {
	_, err := c.s3().PutObject(c, &s3.PutObjectInput{Bucket: goBucket, Key: aws.String(key), Body: strings.NewReader(text)})
	c.good("PutObject of "+key, err)
}

// keys lists what is in the bucket.
func (c *goClient) keys(prefix string) (keys []string) {
	got, err := c.s3().ListObjectsV2(c, &s3.ListObjectsV2Input{Bucket: goBucket, Prefix: aws.String(prefix)})
	if c.good("ListObjectsV2", err) {
		for _, o := range got.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

func goOddKeys(c *goClient) {
	var want []string
	for _, key := range list("TRIED_ODD_KEYS") {
		c.put("odd/"+key, key)
		want = append(want, "odd/"+key)
	}
	if want == nil {
		c.wrong("no keys to try")
	}
	slices.Sort(want)
	got := c.keys("odd/")
	slices.Sort(got)
	c.equal("keys", got, want)
	for _, key := range want {
		o, err := c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: aws.String(key)})
		if c.good(key, err) {
			c.equal(key, "odd/"+c.read(o.Body), key)
		}
		_, err = c.s3().DeleteObject(c, &s3.DeleteObjectInput{Bucket: goBucket, Key: aws.String(key)})
		c.good(key, err)
	}
	c.equal("left over", c.keys("odd/"), []string(nil))
}

func goBadKeys(c *goClient) {
	before := c.keys("")
	for _, key := range list("TRIED_BAD_KEYS") {
		_, err := c.s3().PutObject(c, &s3.PutObjectInput{Bucket: goBucket, Key: aws.String(key), Body: strings.NewReader("x")})
		c.refused(key, err, "InvalidURI", "")
	}
	c.equal("keys", c.keys(""), before)
}

// pages lists one level of a prefix by twos, with one of the two operations.
type pages func(c *goClient, prefix string) (keys, folders []string, n int)

func s3Pages(c *goClient, prefix string) (keys, folders []string, n int) {
	in := &s3.ListObjectsInput{Bucket: goBucket, Prefix: &prefix, Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)}
	for {
		got, err := c.s3().ListObjects(c, in)
		if !c.good("ListObjects", err) {
			return keys, folders, n
		}
		n++
		for _, o := range got.Contents {
			keys = append(keys, *o.Key)
		}
		for _, p := range got.CommonPrefixes {
			folders = append(folders, *p.Prefix)
		}
		if !aws.ToBool(got.IsTruncated) {
			return keys, folders, n
		}
		in.Marker = got.NextMarker
	}
}

func s3PagesV2(c *goClient, prefix string) (keys, folders []string, n int) {
	all := s3.NewListObjectsV2Paginator(c.s3(), &s3.ListObjectsV2Input{
		Bucket: goBucket, Prefix: &prefix, Delimiter: aws.String("/"), MaxKeys: aws.Int32(2),
	})
	for all.HasMorePages() {
		got, err := all.NextPage(c)
		if !c.good("ListObjectsV2", err) {
			return keys, folders, n
		}
		n++
		for _, o := range got.Contents {
			keys = append(keys, *o.Key)
		}
		for _, p := range got.CommonPrefixes {
			folders = append(folders, *p.Prefix)
		}
	}
	return keys, folders, n
}

func goList(c *goClient, by pages) {
	want := []string{"list/0", "list/1", "list/2", "list/3", "list/4"}
	for _, key := range append(want, "list/deep/er") {
		c.put(key, "")
	}
	keys, folders, n := by(c, "list/")
	c.equal("keys", keys, want)
	c.equal("folders", folders, []string{"list/deep/"})
	c.equal("pages", n, 3)
}

func goDenied(c *goClient) {
	secret, theirs := aws.String("secret/x"), aws.String("infra-lower-c65432gh")
	_, err := c.s3().PutObject(c, &s3.PutObjectInput{Bucket: goBucket, Key: secret, Body: strings.NewReader(large)})
	c.refused("PutObject", err, "AccessDenied", "s3:PutObject")
	_, err = c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: secret})
	c.refused("GetObject", err, "AccessDenied", "s3:GetObject")
	_, err = c.s3().HeadObject(c, &s3.HeadObjectInput{Bucket: goBucket, Key: secret})
	var status *awshttp.ResponseError
	if !errors.As(err, &status) || status.HTTPStatusCode() != http.StatusForbidden {
		c.wrong("HeadObject: %v, want status 403", err)
	}
	_, err = c.s3().CreateBucket(c, &s3.CreateBucketInput{Bucket: aws.String("not-ours")})
	c.refused("CreateBucket", err, "AccessDenied", "s3:CreateBucket")
	_, err = c.s3().ListObjectsV2(c, &s3.ListObjectsV2Input{Bucket: theirs})
	c.refused("ListObjectsV2", err, "AccessDenied", "s3:ListBucket")
	_, err = c.s3().DeleteObject(c, &s3.DeleteObjectInput{Bucket: theirs, Key: smallKey})
	c.refused("DeleteObject", err, "AccessDenied", "s3:DeleteObject")
}

func goMore(c *goClient) {
	copied, from := aws.String("more/copy"), aws.String(*goBucket+"/small.txt")
	_, err := c.s3().CopyObject(c, &s3.CopyObjectInput{Bucket: goBucket, Key: copied, CopySource: from})
	if !c.good("CopyObject", err) {
		return
	}
	_, err = c.s3().PutObjectTagging(c, &s3.PutObjectTaggingInput{
		Bucket: goBucket, Key: copied, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("team"), Value: aws.String("pay")}}},
	})
	c.good("PutObjectTagging", err)
	tags, err := c.s3().GetObjectTagging(c, &s3.GetObjectTaggingInput{Bucket: goBucket, Key: copied})
	if c.good("GetObjectTagging", err) {
		c.equal("tags", len(tags.TagSet), 1)
	}
	versions, err := c.s3().ListObjectVersions(c, &s3.ListObjectVersionsInput{Bucket: goBucket, Prefix: copied})
	if c.good("ListObjectVersions", err) && len(versions.Versions) == 1 {
		_, err = c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: copied, VersionId: versions.Versions[0].VersionId})
		c.good("GetObject of a version", err)
	}
	batch, err := c.s3().DeleteObjects(c, &s3.DeleteObjectsInput{Bucket: goBucket, Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: copied}, {Key: aws.String("secret/x")}},
	}})
	if c.good("DeleteObjects", err) && len(batch.Errors) == 1 {
		c.equal("refused", aws.ToString(batch.Errors[0].Key)+" "+aws.ToString(batch.Errors[0].Code), "secret/x AccessDenied")
		c.equal("deleted", len(batch.Deleted), 1)
	} else {
		c.wrong("DeleteObjects: %+v, want one refused", batch)
	}
	_, err = c.s3().CopyObject(c, &s3.CopyObjectInput{Bucket: goBucket, Key: aws.String("stolen"), CopySource: aws.String("infra-lower-c65432gh/x")})
	c.refused("CopyObject of another's", err, "AccessDenied", "s3:GetObject")
}

func goNotServed(c *goClient) {
	calls := []struct {
		name string
		code string
		call func(context.Context, *s3.Client) error
	}{
		{"PutBucketPolicy", "NotImplemented", func(ctx context.Context, s *s3.Client) error {
			_, err := s.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: goBucket, Policy: aws.String("{}")})
			return err
		}},
		{"PutBucketAcl", "NotImplemented", func(ctx context.Context, s *s3.Client) error {
			_, err := s.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: goBucket, ACL: types.BucketCannedACLPublicRead})
			return err
		}},
		{"GetObjectAcl", "NotImplemented", func(ctx context.Context, s *s3.Client) error {
			_, err := s.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: goBucket, Key: smallKey})
			return err
		}},
		{"PutObject with an ACL", "NotImplemented", func(ctx context.Context, s *s3.Client) error {
			_, err := s.PutObject(ctx, &s3.PutObjectInput{Bucket: goBucket, Key: smallKey, Body: strings.NewReader("x"), ACL: types.ObjectCannedACLPublicRead})
			return err
		}},
	}
	for _, tt := range calls {
		c.refused(tt.name, tt.call(c, c.s3()), tt.code, "")
	}
	got, err := c.s3().GetObject(c, &s3.GetObjectInput{Bucket: goBucket, Key: smallKey})
	if c.good("GetObject", err) {
		c.equal("bytes", c.read(got.Body), small)
	}
}

// goStranger has no association: the chain ends with what the agent says.
func goStranger(c *goClient) {
	_, err := c.s3().ListBuckets(c, nil)
	if err == nil {
		c.wrong("a pod without an association got credentials")
		return
	}
	c.contains("error", err.Error(), "ResourceNotFoundException: No pod identity association found for service account default/stranger.")
}
