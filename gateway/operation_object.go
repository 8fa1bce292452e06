package gateway

import (
	"net/http"
	"slices"
)

// Headers that have a meaning here, in canonical form.
const (
	bypassGovernance = "X-Amz-Bypass-Governance-Retention"
	copySource       = "X-Amz-Copy-Source"
	lockMode         = "X-Amz-Object-Lock-Mode"
	lockUntil        = "X-Amz-Object-Lock-Retain-Until-Date"
	lockHold         = "X-Amz-Object-Lock-Legal-Hold"
	newLock          = "X-Amz-Bucket-Object-Lock-Enabled"
	tagging          = "X-Amz-Tagging"
	taggingDirective = "X-Amz-Tagging-Directive"
)

var (
	reading = []string{
		"partNumber", "response-cache-control", "response-content-disposition", "response-content-encoding",
		"response-content-language", "response-content-type", "response-expires",
	}
	readHeaders = []string{
		"if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "range", "x-amz-checksum-mode",
	}
	// objectHeaders say what a new object is, however it is made.
	objectHeaders = []string{
		"cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires", "x-amz-meta-*",
		"x-amz-object-lock-legal-hold", "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-server-side-encryption",
		"x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-bucket-key-enabled", "x-amz-server-side-encryption-context",
		"x-amz-storage-class", "x-amz-tagging",
	}
	bodyHeaders   = []string{"content-md5", "x-amz-checksum-*", "x-amz-sdk-checksum-algorithm"}
	writeHeaders  = slices.Concat(objectHeaders, bodyHeaders, []string{"if-match", "if-none-match"})
	sourceHeaders = []string{
		"x-amz-copy-source", "x-amz-copy-source-if-match", "x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-none-match",
		"x-amz-copy-source-if-unmodified-since",
	}
)

// objectOperations are the rows of objects and their uploads in parts.
var objectOperations = []operation{
	{
		name: "GetObject", method: http.MethodGet, level: object, action: "s3:GetObject", versioned: "s3:GetObjectVersion",
		query: reading, headers: readHeaders, tagged: true,
	},
	{
		name: "HeadObject", method: http.MethodHead, level: object, action: "s3:GetObject", versioned: "s3:GetObjectVersion",
		query: reading, headers: readHeaders, tagged: true,
	},
	{
		name: "GetObjectAttributes", method: http.MethodGet, level: object, selector: "attributes", action: "s3:GetObjectAttributes",
		versioned: "s3:GetObjectVersionAttributes", headers: []string{"x-amz-max-parts", "x-amz-object-attributes", "x-amz-part-number-marker"},
		also: (*call).needsOfAttributes, tagged: true,
	},
	{
		name: "PutObject", method: http.MethodPut, level: object, action: "s3:PutObject",
		headers: writeHeaders, body: stream, also: (*call).needsOfObject, acl: true,
	},
	{
		name: "CopyObject", method: http.MethodPut, level: object, header: copySource, action: "s3:PutObject",
		headers: slices.Concat(objectHeaders, sourceHeaders, []string{
			"if-match", "if-none-match", "x-amz-checksum-algorithm", "x-amz-metadata-directive", "x-amz-tagging-directive",
		}),
		also: (*call).needsOfCopy, answer: read, acl: true,
	},
	{
		name: "DeleteObject", method: http.MethodDelete, level: object, action: "s3:DeleteObject", versioned: "s3:DeleteObjectVersion",
		headers: []string{"if-match", "x-amz-bypass-governance-retention"}, also: (*call).needsOfBypass,
	},
	{
		name: "RestoreObject", method: http.MethodPost, level: object, selector: "restore", action: "s3:RestoreObject", versioned: "s3:RestoreObject",
		body: document, document: restore,
	},
	{
		name: "SelectObjectContent", method: http.MethodPost, level: object, selector: "select&select-type=2", action: "s3:GetObject",
		body: document, document: selection, tagged: true,
	},

	{
		name: "CreateMultipartUpload", method: http.MethodPost, level: object, selector: "uploads", action: "s3:PutObject",
		headers: slices.Concat(objectHeaders, []string{"x-amz-checksum-algorithm", "x-amz-checksum-type"}), also: (*call).needsOfObject,
		acl: true,
	},
	{
		name: "UploadPart", method: http.MethodPut, level: object, selector: "partNumber&uploadId", action: "s3:PutObject",
		headers: bodyHeaders, body: stream,
	},
	{
		name: "UploadPartCopy", method: http.MethodPut, level: object, selector: "partNumber&uploadId", header: copySource, action: "s3:PutObject",
		headers: slices.Concat(sourceHeaders, []string{"x-amz-copy-source-range"}), also: (*call).needsOfCopy, answer: read,
	},
	{
		name: "CompleteMultipartUpload", method: http.MethodPost, level: object, selector: "uploadId", action: "s3:PutObject",
		headers: []string{"if-match", "if-none-match", "x-amz-checksum-*", "x-amz-mp-object-size"}, body: document, document: parts, answer: read,
	},
	{
		name: "AbortMultipartUpload", method: http.MethodDelete, level: object, selector: "uploadId", action: "s3:AbortMultipartUpload",
	},
	{
		name: "ListParts", method: http.MethodGet, level: object, selector: "uploadId", action: "s3:ListMultipartUploadParts",
		query: []string{"max-parts", "part-number-marker", "encoding-type"}, answer: owned,
	},

	{
		name: "GetObjectTagging", method: http.MethodGet, level: object, selector: "tagging", action: "s3:GetObjectTagging",
		versioned: "s3:GetObjectVersionTagging", tagged: true,
	},
	{
		name: "PutObjectTagging", method: http.MethodPut, level: object, selector: "tagging", action: "s3:PutObjectTagging",
		versioned: "s3:PutObjectVersionTagging", body: document, document: tagSet, tagged: true,
	},
	{
		name: "DeleteObjectTagging", method: http.MethodDelete, level: object, selector: "tagging", action: "s3:DeleteObjectTagging",
		versioned: "s3:DeleteObjectVersionTagging", tagged: true,
	},
	{
		name: "GetObjectRetention", method: http.MethodGet, level: object, selector: "retention", action: "s3:GetObjectRetention",
		versioned: "s3:GetObjectRetention",
	},
	{
		name: "PutObjectRetention", method: http.MethodPut, level: object, selector: "retention", action: "s3:PutObjectRetention",
		versioned: "s3:PutObjectRetention", headers: []string{"x-amz-bypass-governance-retention"}, body: document, document: retention, also: (*call).needsOfBypass,
	},
	{
		name: "GetObjectLegalHold", method: http.MethodGet, level: object, selector: "legal-hold", action: "s3:GetObjectLegalHold",
		versioned: "s3:GetObjectLegalHold",
	},
	{
		name: "PutObjectLegalHold", method: http.MethodPut, level: object, selector: "legal-hold", action: "s3:PutObjectLegalHold",
		versioned: "s3:PutObjectLegalHold", body: document, document: legalHold,
	},
}

// The documents of objects.
var (
	restore   = &schema{root: "RestoreRequest", paths: []string{"Days", "GlacierJobParameters", "GlacierJobParameters/Tier", "Tier"}}
	selection = &schema{
		root: "SelectObjectContentRequest", bytes: 512 << 10, // S3 takes an expression of 256 KiB, which XML may make longer
		paths: []string{
			"Expression", "ExpressionType", "RequestProgress", "RequestProgress/Enabled", "ScanRange", "ScanRange/Start", "ScanRange/End",
			"InputSerialization", "InputSerialization/CompressionType", "InputSerialization/CSV", "InputSerialization/CSV/AllowQuotedRecordDelimiter",
			"InputSerialization/CSV/Comments", "InputSerialization/CSV/FieldDelimiter", "InputSerialization/CSV/FileHeaderInfo",
			"InputSerialization/CSV/QuoteCharacter", "InputSerialization/CSV/QuoteEscapeCharacter", "InputSerialization/CSV/RecordDelimiter",
			"InputSerialization/JSON", "InputSerialization/JSON/Type", "InputSerialization/Parquet",
			"OutputSerialization", "OutputSerialization/CSV", "OutputSerialization/CSV/FieldDelimiter", "OutputSerialization/CSV/QuoteCharacter",
			"OutputSerialization/CSV/QuoteEscapeCharacter", "OutputSerialization/CSV/QuoteFields", "OutputSerialization/CSV/RecordDelimiter",
			"OutputSerialization/JSON", "OutputSerialization/JSON/RecordDelimiter",
		},
		only: map[string]string{"ExpressionType": "SQL"},
	}
	retention = &schema{root: "Retention", paths: []string{"Mode", "RetainUntilDate"}}
	legalHold = &schema{root: "LegalHold", paths: []string{"Status"}}
	parts     = &schema{
		root: "CompleteMultipartUpload", most: 10000, bytes: 4 << 20,
		paths: []string{
			"Part*", "Part/PartNumber", "Part/ETag", "Part/ChecksumCRC32", "Part/ChecksumCRC32C", "Part/ChecksumCRC64NVME", "Part/ChecksumSHA1",
			"Part/ChecksumSHA256",
		},
	}
)
