package dev

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// These hold that what the gateway makes of the larger operations is what a real store takes, and that AWS's SDK takes what
// the gateway makes of the answers.

func bucketOf(t *testing.T, s *site, name string) (*s3.Client, *string) {
	t.Helper()
	c := s.client()
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return c, &name
}

func put(t *testing.T, c *s3.Client, in *s3.PutObjectInput, text string) *s3.PutObjectOutput {
	t.Helper()
	in.Body = strings.NewReader(text)
	out, err := c.PutObject(t.Context(), in)
	if err != nil {
		t.Fatalf("PutObject %s: %v", *in.Key, err)
	}
	return out
}

// content returns the text of an object, or the code of the error.
func content(t *testing.T, c *s3.Client, in *s3.GetObjectInput) string {
	t.Helper()
	got, err := c.GetObject(t.Context(), in)
	if err != nil {
		return codeOf(err)
	}
	text, err := io.ReadAll(got.Body)
	if err = errors.Join(err, got.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestObjectInParts(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	c, bucket := bucketOf(t, s, "pay-bucket")
	key, first, last := aws.String("large/a b+é.bin"), bytes.Repeat([]byte("0123456789abcdef"), 5<<16), "the end" // the least part has 5 MiB
	source := put(t, c, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("source")}, last)
	if source.ETag == nil {
		t.Error("PutObject: no ETag")
	}
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: bucket, Key: key, ContentType: aws.String("text/plain"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, Metadata: map[string]string{"team": "pay"},
	})
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(first), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		t.Fatal(err)
	}
	two, err := c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(2), CopySource: aws.String("/pay-bucket/source"), CopySourceRange: aws.String("bytes=4-6"),
	})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: up.UploadId, MaxParts: aws.Int32(10)})
	if err != nil || len(listed.Parts) != 2 || aws.ToInt64(listed.Parts[1].Size) != 3 {
		t.Errorf("ListParts: %+v, %v", listed, err)
	} else if aws.ToString(listed.Owner.ID) != "111122223333" || aws.ToString(listed.Initiator.ID) != "111122223333" {
		t.Errorf("ListParts: owner %+v, initiator %+v, want the account", listed.Owner, listed.Initiator)
	}
	uploads, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket})
	if err != nil || len(uploads.Uploads) != 1 || aws.ToString(uploads.Uploads[0].UploadId) != *up.UploadId {
		t.Errorf("ListMultipartUploads: %+v, %v", uploads, err)
	}
	done, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{
			{PartNumber: aws.Int32(1), ETag: one.ETag, ChecksumCRC32: one.ChecksumCRC32},
			{PartNumber: aws.Int32(2), ETag: two.CopyPartResult.ETag, ChecksumCRC32: two.CopyPartResult.ChecksumCRC32},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(done.Location); !strings.HasPrefix(got, s.url+"/pay-bucket/large/") {
		t.Errorf("Location is %q, want the gateway's", got)
	}
	if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: key}); got != string(first)+"end" {
		t.Errorf("the object has %d bytes, want %d", len(got), len(first)+3)
	}
	gone, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: gone.UploadId}); err != nil {
		t.Error(err)
	}
	_, err = c.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: gone.UploadId})
	if code := codeOf(err); code != "NoSuchUpload" {
		t.Errorf("ListParts of an upload given up: %v, want NoSuchUpload", err)
	}
	attributes, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{
		Bucket: bucket, Key: key, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize, types.ObjectAttributesEtag},
	})
	if err != nil || aws.ToInt64(attributes.ObjectSize) != int64(len(first)+3) {
		t.Errorf("GetObjectAttributes: %+v, %v", attributes, err)
	}
}

func TestCopiesAndTags(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	c, bucket := bucketOf(t, s, "pay-bucket")
	key, copied := aws.String("a b+é?&.txt"), aws.String("copies/a")
	put(t, c, &s3.PutObjectInput{Bucket: bucket, Key: key, Tagging: aws.String("team=pay&note=a%20b%2Bc"), Metadata: map[string]string{"x": "y"}}, "hello")
	tagsOf := func(key *string) string {
		got, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: key})
		if err != nil {
			return codeOf(err)
		}
		var all []string
		for _, tag := range got.TagSet {
			all = append(all, *tag.Key+"="+*tag.Value)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	if got := tagsOf(key); got != "note=a b+c team=pay" {
		t.Errorf("the tags are %q", got)
	}
	from := aws.String("pay-bucket/a%20b%2B%C3%A9%3F%26.txt")
	out, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: copied, CopySource: from})
	if err != nil || out.CopyObjectResult == nil || aws.ToString(out.CopyObjectResult.ETag) == "" {
		t.Fatalf("CopyObject: %+v, %v", out, err)
	}
	if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: copied}); got != "hello" {
		t.Errorf("the copy is %q", got)
	}
	if got := tagsOf(copied); got != "note=a b+c team=pay" {
		t.Errorf("the copy's tags are %q, want the source's", got)
	}
	if _, err := c.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: bucket, Key: copied, CopySource: from, TaggingDirective: types.TaggingDirectiveReplace, Tagging: aws.String("only=this"),
		MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"z": "1"},
	}); err != nil {
		t.Fatal(err)
	}
	if got := tagsOf(copied); got != "only=this" {
		t.Errorf("the copy's tags are %q, want those given", got)
	}
	if _, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
		Bucket: bucket, Key: copied, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a:b/é"), Value: aws.String("x + y@z")}}},
	}); err != nil {
		t.Fatal(err)
	}
	if got := tagsOf(copied); got != "a:b/é=x + y@z" {
		t.Errorf("the tags are %q", got)
	}
	if _, err := c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: bucket, Key: copied}); err != nil {
		t.Fatal(err)
	}
	if got := tagsOf(copied); got != "" {
		t.Errorf("after they were deleted the tags are %q", got)
	}
	// So the gateway asks for a caller who may not copy tags.
	if _, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: copied, CopySource: from, TaggingDirective: types.TaggingDirectiveReplace}); err != nil {
		t.Error(err)
	}
	if got := tagsOf(copied); got != "" {
		t.Errorf("the copy that was to have none has the tags %q", got)
	}
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: copied, CopySource: aws.String("pay-bucket/missing")})
	if code := codeOf(err); code != "NoSuchKey" {
		t.Errorf("a copy of nothing: %v, want NoSuchKey", err)
	}
	if _, err := c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: bucket, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: bucket}); err != nil || len(got.TagSet) != 1 || *got.TagSet[0].Value != "v" {
		t.Errorf("GetBucketTagging: %+v, %v", got, err)
	}
	if _, err := c.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	_, err = c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: bucket})
	if code := codeOf(err); code != "NoSuchTagSet" {
		t.Errorf("GetBucketTagging after they were deleted: %v, want NoSuchTagSet", err)
	}
}

func TestVersionsAndBatches(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	c, bucket := bucketOf(t, s, "pay-bucket")
	if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bucket}); err != nil || got.Status != types.BucketVersioningStatusEnabled {
		t.Errorf("GetBucketVersioning: %+v, %v", got, err)
	}
	key := aws.String("a")
	first, second := put(t, c, &s3.PutObjectInput{Bucket: bucket, Key: key}, "one"), put(t, c, &s3.PutObjectInput{Bucket: bucket, Key: key}, "two")
	for version, want := range map[*string]string{first.VersionId: "one", second.VersionId: "two", nil: "two"} {
		if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: version}); got != want {
			t.Errorf("version %q is %q, want %q", aws.ToString(version), got, want)
		}
	}
	if _, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("old"), CopySource: aws.String("pay-bucket/a?versionId=" + *first.VersionId)}); err != nil {
		t.Fatal(err)
	}
	if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("old")}); got != "one" {
		t.Errorf("the copy of the first version is %q", got)
	}
	listed, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket, Prefix: key})
	if err != nil || len(listed.Versions) != 2 {
		t.Errorf("ListObjectVersions: %+v, %v", listed, err)
	}
	put(t, c, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("dir/<b> & é")}, "x")
	plain, err := c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: bucket})
	if err != nil || len(plain.Contents) != 3 {
		t.Errorf("ListObjects: %+v, %v", plain, err)
	}
	batch, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: key, VersionId: first.VersionId}, {Key: key}, {Key: aws.String("dir/<b> & é")}, {Key: aws.String("never/there")}, {Key: aws.String("../x")},
	}}})
	if err != nil || len(batch.Deleted) != 4 || len(batch.Errors) != 1 || aws.ToString(batch.Errors[0].Code) != "InvalidURI" {
		t.Errorf("DeleteObjects: %+v, %v, want 4 deleted and 1 refused", batch, err)
	}
	if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: key}); got != "NoSuchKey" {
		t.Errorf("the deleted object is %q", got)
	}
	if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: second.VersionId}); got != "two" {
		t.Errorf("the version that was kept is %q", got)
	}
	if got := content(t, c, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: first.VersionId}); got == "one" {
		t.Error("the version that was deleted is there")
	}
}

func TestObjectLock(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	c, bucket, key := s.client(), aws.String("locked-bucket"), aws.String("a")
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: bucket, ObjectLockConfiguration: &types.ObjectLockConfiguration{
		ObjectLockEnabled: types.ObjectLockEnabledEnabled,
		Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(1)}},
	}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: bucket})
	if err != nil || aws.ToInt32(got.ObjectLockConfiguration.Rule.DefaultRetention.Days) != 1 {
		t.Errorf("GetObjectLockConfiguration: %+v, %v", got, err)
	}
	out := put(t, c, &s3.PutObjectInput{Bucket: bucket, Key: key}, "hello")
	if _, err := c.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{Bucket: bucket, Key: key, LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOn}}); err != nil {
		t.Fatal(err)
	}
	held, err := c.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: bucket, Key: key})
	if err != nil || held.LegalHold.Status != types.ObjectLockLegalHoldStatusOn {
		t.Errorf("GetObjectLegalHold: %+v, %v", held, err)
	}
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	if _, err := c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{
		Bucket: bucket, Key: key, Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: &until},
	}); err != nil {
		t.Fatal(err)
	}
	kept, err := c.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: bucket, Key: key})
	if err != nil || !aws.ToTime(kept.Retention.RetainUntilDate).Equal(until) {
		t.Errorf("GetObjectRetention: %+v, %v, want until %v", kept, err, until)
	}
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: out.VersionId})
	if code := codeOf(err); code == "" {
		t.Error("a version under legal hold was deleted")
	}
	if _, err := c.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{Bucket: bucket, Key: key, LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOff}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: out.VersionId, BypassGovernanceRetention: aws.Bool(true)}); err != nil {
		t.Errorf("DeleteObject past governance: %v", err)
	}
}

func TestSettingsOfABucket(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	c, bucket := bucketOf(t, s, "pay-bucket")
	if got, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket}); err != nil || got.LocationConstraint != "" {
		t.Errorf("GetBucketLocation: %+v, %v, want the first region", got, err)
	}
	if _, err := c.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{
		{AllowedMethods: []string{"GET", "PUT"}, AllowedOrigins: []string{"https://a.example"}, AllowedHeaders: []string{"*"}, MaxAgeSeconds: aws.Int32(60)},
	}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: bucket}); err != nil || len(got.CORSRules) != 1 || len(got.CORSRules[0].AllowedMethods) != 2 {
		t.Errorf("GetBucketCors: %+v, %v", got, err)
	}
	if _, err := c.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	own := func(o types.ObjectOwnership) error {
		_, err := c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
			Bucket: bucket, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: o}}},
		})
		return err
	}
	if err := own(types.ObjectOwnershipBucketOwnerEnforced); err != nil {
		t.Error(err)
	}
	if err := own(types.ObjectOwnershipObjectWriter); codeOf(err) != "NotImplemented" {
		t.Errorf("PutBucketOwnershipControls of ObjectWriter: %v, want NotImplemented", err)
	}
	if got, err := c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: bucket}); err != nil ||
		got.OwnershipControls.Rules[0].ObjectOwnership != types.ObjectOwnershipBucketOwnerEnforced {
		t.Errorf("GetBucketOwnershipControls: %+v, %v", got, err)
	}
	// The store in the process has no lifecycle: its own words come through.
	_, err := c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	if code := codeOf(err); code != "NotImplemented" {
		t.Errorf("GetBucketLifecycleConfiguration: %v, want NotImplemented", err)
	}
}
