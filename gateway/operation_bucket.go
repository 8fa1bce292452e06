package gateway

import "net/http"

var (
	listing     = []string{"prefix", "delimiter", "max-keys", "encoding-type"}
	listKeys    = []string{"prefix", "delimiter", "max-keys"}
	listMore    = []string{"x-amz-optional-object-attributes"}
	listHeaders = []string{"x-amz-optional-object-attributes", "x-amz-object-attributes"} // those that are lists
)

// bucketOperations are the rows of the service and of buckets.
var bucketOperations = []operation{
	{
		name: "ListBuckets", method: http.MethodGet, level: service, action: "s3:ListAllMyBuckets",
		query: []string{"prefix", "max-buckets", "continuation-token"}, answer: owned, management: true,
	},
	{
		name: "CreateBucket", method: http.MethodPut, level: bucket, action: "s3:CreateBucket",
		headers: []string{"x-amz-bucket-object-lock-enabled"}, body: document, document: newBucket, also: (*call).needsOfBucket, management: true, acl: true,
	},
	{name: "DeleteBucket", method: http.MethodDelete, level: bucket, action: "s3:DeleteBucket", management: true},
	{name: "HeadBucket", method: http.MethodHead, level: bucket, action: "s3:ListBucket"},
	{name: "GetBucketLocation", method: http.MethodGet, level: bucket, selector: "location", action: "s3:GetBucketLocation", answer: read, management: true},
	{
		name: "ListObjects", method: http.MethodGet, level: bucket, action: "s3:ListBucket",
		query: append([]string{"marker"}, listing...), headers: listMore, keys: listKeys, answer: owned,
	},
	{
		name: "ListObjectsV2", method: http.MethodGet, level: bucket, selector: "list-type=2", action: "s3:ListBucket",
		query: append([]string{"continuation-token", "start-after", "fetch-owner"}, listing...), headers: listMore, keys: listKeys, answer: owned,
	},
	{
		name: "ListObjectVersions", method: http.MethodGet, level: bucket, selector: "versions", action: "s3:ListBucketVersions",
		query: append([]string{"key-marker", "version-id-marker"}, listing...), headers: listMore, keys: listKeys, answer: owned,
	},
	{
		name: "ListMultipartUploads", method: http.MethodGet, level: bucket, selector: "uploads", action: "s3:ListBucketMultipartUploads",
		query: []string{"prefix", "delimiter", "max-uploads", "encoding-type", "key-marker", "upload-id-marker"}, keys: listKeys, answer: owned,
	},
	{
		name: "DeleteObjects", method: http.MethodPost, level: bucket, selector: "delete", action: "s3:DeleteObject", // of each key: see batch
		headers: []string{"x-amz-bypass-governance-retention"}, body: document, document: deletions, answer: read,
	},

	{name: "GetBucketTagging", method: http.MethodGet, level: bucket, selector: "tagging", action: "s3:GetBucketTagging", management: true},
	{name: "PutBucketTagging", method: http.MethodPut, level: bucket, selector: "tagging", action: "s3:PutBucketTagging", body: document, document: tagSet, management: true},
	{name: "DeleteBucketTagging", method: http.MethodDelete, level: bucket, selector: "tagging", action: "s3:PutBucketTagging", management: true},
	{name: "GetBucketVersioning", method: http.MethodGet, level: bucket, selector: "versioning", action: "s3:GetBucketVersioning", management: true},
	{
		name: "PutBucketVersioning", method: http.MethodPut, level: bucket, selector: "versioning", action: "s3:PutBucketVersioning",
		body: document, document: versioning, management: true,
	},
	{
		name: "GetObjectLockConfiguration", method: http.MethodGet, level: bucket, selector: "object-lock", action: "s3:GetBucketObjectLockConfiguration",
		management: true,
	},
	{
		name: "PutObjectLockConfiguration", method: http.MethodPut, level: bucket, selector: "object-lock", action: "s3:PutBucketObjectLockConfiguration",
		body: document, document: objectLock, management: true,
	},
	{
		name: "GetBucketLifecycleConfiguration", method: http.MethodGet, level: bucket, selector: "lifecycle", action: "s3:GetLifecycleConfiguration",
		query: []string{"withUpdatedAt"}, management: true, // minio-go asks for more, which S3 passes over and MinIO answers in a header
	},
	{
		name: "PutBucketLifecycleConfiguration", method: http.MethodPut, level: bucket, selector: "lifecycle", action: "s3:PutLifecycleConfiguration",
		headers: []string{"x-amz-transition-default-minimum-object-size"}, body: document, document: lifecycle, management: true,
	},
	{name: "DeleteBucketLifecycle", method: http.MethodDelete, level: bucket, selector: "lifecycle", action: "s3:PutLifecycleConfiguration", management: true},
	{name: "GetBucketCors", method: http.MethodGet, level: bucket, selector: "cors", action: "s3:GetBucketCORS", management: true},
	{name: "PutBucketCors", method: http.MethodPut, level: bucket, selector: "cors", action: "s3:PutBucketCORS", body: document, document: cors, management: true},
	{name: "DeleteBucketCors", method: http.MethodDelete, level: bucket, selector: "cors", action: "s3:PutBucketCORS", management: true},
	{name: "GetBucketEncryption", method: http.MethodGet, level: bucket, selector: "encryption", action: "s3:GetEncryptionConfiguration", management: true},
	{
		name: "PutBucketEncryption", method: http.MethodPut, level: bucket, selector: "encryption", action: "s3:PutEncryptionConfiguration",
		body: document, document: encryption, management: true,
	},
	{name: "DeleteBucketEncryption", method: http.MethodDelete, level: bucket, selector: "encryption", action: "s3:PutEncryptionConfiguration", management: true},
	// To give ACLs their power back would change who reaches what: the one value that takes it is accepted, and no delete.
	{name: "GetBucketOwnershipControls", method: http.MethodGet, level: bucket, selector: "ownershipControls", action: "s3:GetBucketOwnershipControls", management: true},
	{
		name: "PutBucketOwnershipControls", method: http.MethodPut, level: bucket, selector: "ownershipControls", action: "s3:PutBucketOwnershipControls",
		body: document, document: ownership, management: true,
	},
}

// The documents of buckets.
var (
	newBucket = &schema{root: "CreateBucketConfiguration", optional: true, paths: []string{"LocationConstraint"}}
	deletions = &schema{
		root: "Delete", most: 1000, bytes: 2 << 20,
		paths: []string{"Quiet", "Object*", "Object/Key", "Object/VersionId", "Object/ETag", "Object/LastModifiedTime", "Object/Size"},
	}
	tagSet     = &schema{root: "Tagging", most: 50, paths: []string{"TagSet", "TagSet/Tag*", "TagSet/Tag/Key", "TagSet/Tag/Value"}}
	versioning = &schema{root: "VersioningConfiguration", paths: []string{"Status"}}
	objectLock = &schema{root: "ObjectLockConfiguration", paths: []string{
		"ObjectLockEnabled", "Rule", "Rule/DefaultRetention", "Rule/DefaultRetention/Mode", "Rule/DefaultRetention/Days", "Rule/DefaultRetention/Years",
	}}
	cors = &schema{root: "CORSConfiguration", most: 1000, paths: []string{
		"CORSRule*", "CORSRule/ID", "CORSRule/AllowedHeader*", "CORSRule/AllowedMethod*", "CORSRule/AllowedOrigin*", "CORSRule/ExposeHeader*", "CORSRule/MaxAgeSeconds",
	}}
	encryption = &schema{root: "ServerSideEncryptionConfiguration", most: 10, paths: []string{
		"Rule*", "Rule/BucketKeyEnabled", "Rule/ApplyServerSideEncryptionByDefault", "Rule/ApplyServerSideEncryptionByDefault/SSEAlgorithm",
		"Rule/ApplyServerSideEncryptionByDefault/KMSMasterKeyID",
	}}
	ownership = &schema{
		root: "OwnershipControls", paths: []string{"Rule", "Rule/ObjectOwnership"},
		only: map[string]string{"Rule/ObjectOwnership": "BucketOwnerEnforced"},
	}
	lifecycle = &schema{root: "LifecycleConfiguration", most: 4000, bytes: 1 << 20, paths: []string{
		"Rule*", "Rule/ID", "Rule/Status", "Rule/Prefix",
		"Rule/Filter", "Rule/Filter/Prefix", "Rule/Filter/Tag", "Rule/Filter/Tag/Key", "Rule/Filter/Tag/Value", "Rule/Filter/ObjectSizeGreaterThan",
		"Rule/Filter/ObjectSizeLessThan", "Rule/Filter/And", "Rule/Filter/And/Prefix", "Rule/Filter/And/Tag*", "Rule/Filter/And/Tag/Key",
		"Rule/Filter/And/Tag/Value", "Rule/Filter/And/ObjectSizeGreaterThan", "Rule/Filter/And/ObjectSizeLessThan",
		"Rule/Expiration", "Rule/Expiration/Date", "Rule/Expiration/Days", "Rule/Expiration/ExpiredObjectDeleteMarker",
		"Rule/Transition*", "Rule/Transition/Date", "Rule/Transition/Days", "Rule/Transition/StorageClass",
		"Rule/NoncurrentVersionTransition*", "Rule/NoncurrentVersionTransition/NoncurrentDays", "Rule/NoncurrentVersionTransition/StorageClass",
		"Rule/NoncurrentVersionTransition/NewerNoncurrentVersions",
		"Rule/NoncurrentVersionExpiration", "Rule/NoncurrentVersionExpiration/NoncurrentDays", "Rule/NoncurrentVersionExpiration/NewerNoncurrentVersions",
		"Rule/AbortIncompleteMultipartUpload", "Rule/AbortIncompleteMultipartUpload/DaysAfterInitiation",
	}}
)
