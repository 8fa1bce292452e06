package gateway

// moreCases are those of the operations beyond reading, writing and listing whole objects.
var moreCases = []operationCase{
	{
		name: "where a bucket is", operation: "GetBucketLocation", in: request{method: "GET", path: "/pay?location"},
		action: "s3:GetBucketLocation", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?location=",
		answer: `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">far</LocationConstraint>`,
	},
	{
		name: "a bucket with object lock", operation: "CreateBucket", in: request{method: "PUT", path: "/pay", header: map[string]string{"X-Amz-Bucket-Object-Lock-Enabled": `true`}},
		action: "s3:CreateBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay",
		forwarded: map[string]string{"X-Amz-Bucket-Object-Lock-Enabled": `true`},
		besides:   [][2]string{{"s3:PutBucketObjectLockConfiguration", "arn:aws:s3:::pay"}, {"s3:PutBucketVersioning", "arn:aws:s3:::pay"}},
	},
	{
		name: "versions", operation: "ListObjectVersions", in: request{method: "GET", path: "/pay?versions&prefix=a&key-marker=a&version-id-marker=v1"},
		action: "s3:ListBucketVersions", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?key-marker=a&prefix=a&version-id-marker=v1&versions=",
	},
	{
		name: "uploads", operation: "ListMultipartUploads", in: request{method: "GET", path: "/pay?uploads=&max-uploads=5"},
		action: "s3:ListBucketMultipartUploads", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?max-uploads=5&uploads=",
	},
	{
		name: "a bucket's tags", operation: "GetBucketTagging", in: request{method: "GET", path: "/pay?tagging"},
		action: "s3:GetBucketTagging", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?tagging=",
	},
	{
		name: "new tags of a bucket", operation: "PutBucketTagging", in: request{method: "PUT", path: "/pay?tagging", body: `<Tagging><TagSet><Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></TagSet></Tagging>`},
		action: "s3:PutBucketTagging", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?tagging=",
		body: `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></TagSet></Tagging>`,
	},
	{
		name: "no tags of a bucket", operation: "DeleteBucketTagging", in: request{method: "DELETE", path: "/pay?tagging"},
		action: "s3:PutBucketTagging", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?tagging=",
	},
	{
		name: "versioning", operation: "GetBucketVersioning", in: request{method: "GET", path: "/pay?versioning"},
		action: "s3:GetBucketVersioning", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?versioning=",
	},
	{
		name: "new versioning", operation: "PutBucketVersioning", in: request{method: "PUT", path: "/pay?versioning", body: `<?xml version="1.0" encoding="UTF-8"?>
<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
 <Status>Enabled</Status></VersioningConfiguration>`},
		action: "s3:PutBucketVersioning", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?versioning=",
		body: `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`,
	},
	{
		name: "object lock", operation: "GetObjectLockConfiguration", in: request{method: "GET", path: "/pay?object-lock"},
		action: "s3:GetBucketObjectLockConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?object-lock=",
	},
	{
		name: "new object lock", operation: "PutObjectLockConfiguration", in: request{method: "PUT", path: "/pay?object-lock", body: `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>`},
		action: "s3:PutBucketObjectLockConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?object-lock=",
		body: `<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>`,
	},
	{
		name: "lifecycle", operation: "GetBucketLifecycleConfiguration", in: request{method: "GET", path: "/pay?lifecycle"},
		action: "s3:GetLifecycleConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?lifecycle=",
	},
	{
		name: "lifecycle as minio-go asks for it", operation: "GetBucketLifecycleConfiguration", in: request{method: "GET", path: "/pay/?lifecycle=&withUpdatedAt=true"},
		action: "s3:GetLifecycleConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?lifecycle=&withUpdatedAt=true",
	},
	{
		name: "new lifecycle", operation: "PutBucketLifecycleConfiguration", in: request{method: "PUT", path: "/pay?lifecycle", body: `<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><And><Prefix>tmp/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag><Tag><Key>c</Key><Value>d</Value></Tag></And></Filter><Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>`},
		action: "s3:PutLifecycleConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?lifecycle=",
		body: `<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>r</ID><Status>Enabled</Status><Filter><And><Prefix>tmp/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag><Tag><Key>c</Key><Value>d</Value></Tag></And></Filter><Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>`,
	},
	{
		name: "no lifecycle", operation: "DeleteBucketLifecycle", in: request{method: "DELETE", path: "/pay?lifecycle"},
		action: "s3:PutLifecycleConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?lifecycle=",
	},
	{
		name: "CORS", operation: "GetBucketCors", in: request{method: "GET", path: "/pay?cors"},
		action: "s3:GetBucketCORS", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?cors=",
	},
	{
		name: "new CORS", operation: "PutBucketCors", in: request{method: "PUT", path: "/pay?cors", body: `<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>`},
		action: "s3:PutBucketCORS", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?cors=",
		body: `<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>`,
	},
	{
		name: "no CORS", operation: "DeleteBucketCors", in: request{method: "DELETE", path: "/pay?cors"},
		action: "s3:PutBucketCORS", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?cors=",
	},
	{
		name: "encryption", operation: "GetBucketEncryption", in: request{method: "GET", path: "/pay?encryption"},
		action: "s3:GetEncryptionConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?encryption=",
	},
	{
		name: "new encryption", operation: "PutBucketEncryption", in: request{method: "PUT", path: "/pay?encryption", body: `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`},
		action: "s3:PutEncryptionConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?encryption=",
		body: `<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`,
	},
	{
		name: "no encryption", operation: "DeleteBucketEncryption", in: request{method: "DELETE", path: "/pay?encryption"},
		action: "s3:PutEncryptionConfiguration", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?encryption=",
	},
	{
		name: "ownership", operation: "GetBucketOwnershipControls", in: request{method: "GET", path: "/pay?ownershipControls"},
		action: "s3:GetBucketOwnershipControls", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?ownershipControls=",
	},
	{
		name: "new ownership", operation: "PutBucketOwnershipControls", in: request{method: "PUT", path: "/pay?ownershipControls", body: `<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>`},
		action: "s3:PutBucketOwnershipControls", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay?ownershipControls=",
		body: `<OwnershipControls xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>`,
	},
	{
		name: "a version", operation: "GetObject", in: request{method: "GET", path: "/pay/a?versionId=v.1_-"},
		action: "s3:GetObjectVersion", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?versionId=v.1_-",
	},
	{
		name: "the head of a version", operation: "HeadObject", in: request{method: "HEAD", path: "/pay/a?versionId=null"},
		action: "s3:GetObjectVersion", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?versionId=null",
	},
	{
		name: "attributes", operation: "GetObjectAttributes", in: request{method: "GET", path: "/pay/a?attributes", header: map[string]string{"X-Amz-Object-Attributes": `ETag`}},
		action: "s3:GetObjectAttributes", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?attributes=",
		forwarded: map[string]string{"X-Amz-Object-Attributes": `ETag`},
		besides:   [][2]string{{"s3:GetObject", "arn:aws:s3:::pay/a"}},
	},
	{
		name: "attributes of a version", operation: "GetObjectAttributes", in: request{method: "GET", path: "/pay/a?attributes&versionId=1"},
		action: "s3:GetObjectVersionAttributes", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?attributes=&versionId=1",
		besides: [][2]string{{"s3:GetObjectVersion", "arn:aws:s3:::pay/a"}},
	},
	{
		name: "an object with all that goes with it", operation: "PutObject", in: request{method: "PUT", path: "/pay/a", body: `hello`, header: map[string]string{"X-Amz-Tagging": `b=2&a=1%201`, "X-Amz-Object-Lock-Mode": `GOVERNANCE`, "X-Amz-Object-Lock-Retain-Until-Date": `2099-01-01T00:00:00Z`, "X-Amz-Object-Lock-Legal-Hold": `ON`, "X-Amz-Server-Side-Encryption": `aws:kms`, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": `k`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a",
		forwarded: map[string]string{"X-Amz-Tagging": `a=1%201&b=2`, "X-Amz-Object-Lock-Mode": `GOVERNANCE`, "X-Amz-Object-Lock-Retain-Until-Date": `2099-01-01T00:00:00Z`, "X-Amz-Object-Lock-Legal-Hold": `ON`, "X-Amz-Server-Side-Encryption": `aws:kms`, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": `k`},
		besides:   [][2]string{{"s3:PutObjectTagging", "arn:aws:s3:::pay/a"}, {"s3:PutObjectRetention", "arn:aws:s3:::pay/a"}, {"s3:PutObjectLegalHold", "arn:aws:s3:::pay/a"}},
	},
	{
		name: "a copy", operation: "CopyObject", in: request{method: "PUT", path: "/pay/a?x-id=CopyObject", header: map[string]string{"X-Amz-Copy-Source": `other/x%20y%2Bz`, "X-Amz-Metadata-Directive": `COPY`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a",
		forwarded: map[string]string{"X-Amz-Copy-Source": `other/x%20y%2Bz`, "X-Amz-Metadata-Directive": `COPY`},
		besides:   [][2]string{{"s3:GetObject", "arn:aws:s3:::other/x y+z"}, {"s3:GetObjectTagging", "arn:aws:s3:::other/x y+z"}, {"s3:PutObjectTagging", "arn:aws:s3:::pay/a"}},
		answer:    `<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>`,
	},
	{
		name: "a copy of a version with tags of its own", operation: "CopyObject", in: request{method: "PUT", path: "/pay/a", header: map[string]string{"X-Amz-Copy-Source": `/other/x?versionId=v1`, "X-Amz-Tagging-Directive": `REPLACE`, "X-Amz-Tagging": `a=1`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a",
		forwarded: map[string]string{"X-Amz-Copy-Source": `other/x?versionId=v1`, "X-Amz-Tagging-Directive": `REPLACE`, "X-Amz-Tagging": `a=1`},
		besides:   [][2]string{{"s3:GetObjectVersion", "arn:aws:s3:::other/x"}, {"s3:PutObjectTagging", "arn:aws:s3:::pay/a"}},
		answer:    `<CopyObjectResult/>`,
	},
	{
		name: "a version goes", operation: "DeleteObject", in: request{method: "DELETE", path: "/pay/a?versionId=1", header: map[string]string{"X-Amz-Bypass-Governance-Retention": `true`}},
		action: "s3:DeleteObjectVersion", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?versionId=1",
		forwarded: map[string]string{"X-Amz-Bypass-Governance-Retention": `true`},
		besides:   [][2]string{{"s3:BypassGovernanceRetention", "arn:aws:s3:::pay/a"}},
	},
	{
		name: "selected rows", operation: "SelectObjectContent", in: request{method: "POST", path: "/pay/a?select&select-type=2&x-id=SelectObjectContent", body: `<SelectObjectContentRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Expression>SELECT * FROM S3Object s WHERE s.n &lt; 3</Expression><ExpressionType>SQL</ExpressionType><InputSerialization><CompressionType>GZIP</CompressionType><CSV><FileHeaderInfo>USE</FileHeaderInfo></CSV></InputSerialization><OutputSerialization><JSON><RecordDelimiter>&#xA;</RecordDelimiter></JSON></OutputSerialization></SelectObjectContentRequest>`},
		action: "s3:GetObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?select=&select-type=2",
		body: `<SelectObjectContentRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Expression>SELECT * FROM S3Object s WHERE s.n &lt; 3</Expression><ExpressionType>SQL</ExpressionType><InputSerialization><CompressionType>GZIP</CompressionType><CSV><FileHeaderInfo>USE</FileHeaderInfo></CSV></InputSerialization><OutputSerialization><JSON><RecordDelimiter>&#xA;</RecordDelimiter></JSON></OutputSerialization></SelectObjectContentRequest>`,
	},
	{
		name: "back from the archive", operation: "RestoreObject", in: request{method: "POST", path: "/pay/a?restore", body: `<RestoreRequest><Days>1</Days></RestoreRequest>`},
		action: "s3:RestoreObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?restore=",
		body: `<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Days>1</Days></RestoreRequest>`,
	},
	{
		name: "an upload in parts", operation: "CreateMultipartUpload", in: request{method: "POST", path: "/pay/a?uploads", header: map[string]string{"X-Amz-Tagging": `b=2&a=1%201`, "X-Amz-Object-Lock-Mode": `GOVERNANCE`, "X-Amz-Object-Lock-Retain-Until-Date": `2099-01-01T00:00:00Z`, "X-Amz-Object-Lock-Legal-Hold": `ON`, "X-Amz-Server-Side-Encryption": `aws:kms`, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": `k`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?uploads=",
		forwarded: map[string]string{"X-Amz-Tagging": `a=1%201&b=2`, "X-Amz-Object-Lock-Mode": `GOVERNANCE`, "X-Amz-Object-Lock-Retain-Until-Date": `2099-01-01T00:00:00Z`, "X-Amz-Object-Lock-Legal-Hold": `ON`, "X-Amz-Server-Side-Encryption": `aws:kms`, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": `k`},
		besides:   [][2]string{{"s3:PutObjectTagging", "arn:aws:s3:::pay/a"}, {"s3:PutObjectRetention", "arn:aws:s3:::pay/a"}, {"s3:PutObjectLegalHold", "arn:aws:s3:::pay/a"}},
	},
	{
		name: "a part", operation: "UploadPart", in: request{method: "PUT", path: "/pay/a?partNumber=1&uploadId=u", body: `hello`, header: map[string]string{"X-Amz-Checksum-Crc32": `NhCmhg==`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?partNumber=1&uploadId=u",
		forwarded: map[string]string{"X-Amz-Checksum-Crc32": `NhCmhg==`},
	},
	{
		name: "a part that is a copy", operation: "UploadPartCopy", in: request{method: "PUT", path: "/pay/a?partNumber=10000&uploadId=u", header: map[string]string{"X-Amz-Copy-Source": `other/x`, "X-Amz-Copy-Source-Range": `bytes=0-3`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?partNumber=10000&uploadId=u",
		forwarded: map[string]string{"X-Amz-Copy-Source": `other/x`, "X-Amz-Copy-Source-Range": `bytes=0-3`},
		besides:   [][2]string{{"s3:GetObject", "arn:aws:s3:::other/x"}},
		answer:    `<CopyPartResult/>`,
	},
	{
		name: "the end of an upload", operation: "CompleteMultipartUpload", in: request{method: "POST", path: "/pay/a?uploadId=u", body: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&#34;e&#34;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>f</ETag><ChecksumCRC32>NhCmhg==</ChecksumCRC32></Part></CompleteMultipartUpload>`, header: map[string]string{"X-Amz-Checksum-Crc32": `NhCmhg==`, "X-Amz-Mp-Object-Size": `10`}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?uploadId=u",
		forwarded: map[string]string{"X-Amz-Checksum-Crc32": `NhCmhg==`, "X-Amz-Mp-Object-Size": `10`},
		body:      `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>&#34;e&#34;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>f</ETag><ChecksumCRC32>NhCmhg==</ChecksumCRC32></Part></CompleteMultipartUpload>`,
		answer:    `<CompleteMultipartUploadResult/>`,
	},
	{
		name: "an upload given up", operation: "AbortMultipartUpload", in: request{method: "DELETE", path: "/pay/a?uploadId=u"},
		action: "s3:AbortMultipartUpload", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?uploadId=u",
	},
	{
		name: "an upload's parts", operation: "ListParts", in: request{method: "GET", path: "/pay/a?uploadId=u&max-parts=2"},
		action: "s3:ListMultipartUploadParts", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?max-parts=2&uploadId=u",
	},
	{
		name: "an object's tags", operation: "GetObjectTagging", in: request{method: "GET", path: "/pay/a?tagging"},
		action: "s3:GetObjectTagging", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?tagging=",
	},
	{
		name: "a version's tags", operation: "GetObjectTagging", in: request{method: "GET", path: "/pay/a?tagging&versionId=1"},
		action: "s3:GetObjectVersionTagging", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?tagging=&versionId=1",
	},
	{
		name: "new tags of an object", operation: "PutObjectTagging", in: request{method: "PUT", path: "/pay/a?tagging", body: `<Tagging><TagSet><Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></TagSet></Tagging>`},
		action: "s3:PutObjectTagging", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?tagging=",
		body: `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></TagSet></Tagging>`,
	},
	{
		name: "new tags of a version", operation: "PutObjectTagging", in: request{method: "PUT", path: "/pay/a?tagging&versionId=1", body: `<Tagging><TagSet><Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></TagSet></Tagging>`},
		action: "s3:PutObjectVersionTagging", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?tagging=&versionId=1",
		body: `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></TagSet></Tagging>`,
	},
	{
		name: "no tags of an object", operation: "DeleteObjectTagging", in: request{method: "DELETE", path: "/pay/a?tagging"},
		action: "s3:DeleteObjectTagging", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?tagging=",
	},
	{
		name: "no tags of a version", operation: "DeleteObjectTagging", in: request{method: "DELETE", path: "/pay/a?tagging&versionId=1"},
		action: "s3:DeleteObjectVersionTagging", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?tagging=&versionId=1",
	},
	{
		name: "retention", operation: "GetObjectRetention", in: request{method: "GET", path: "/pay/a?retention"},
		action: "s3:GetObjectRetention", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?retention=",
	},
	{
		name: "new retention", operation: "PutObjectRetention", in: request{method: "PUT", path: "/pay/a?retention", body: `<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>`, header: map[string]string{"X-Amz-Bypass-Governance-Retention": `true`}},
		action: "s3:PutObjectRetention", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?retention=",
		forwarded: map[string]string{"X-Amz-Bypass-Governance-Retention": `true`},
		besides:   [][2]string{{"s3:BypassGovernanceRetention", "arn:aws:s3:::pay/a"}},
		body:      `<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>`,
	},
	{
		name: "legal hold", operation: "GetObjectLegalHold", in: request{method: "GET", path: "/pay/a?legal-hold"},
		action: "s3:GetObjectLegalHold", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?legal-hold=",
	},
	{
		name: "new legal hold", operation: "PutObjectLegalHold", in: request{method: "PUT", path: "/pay/a?legal-hold&versionId=1", body: `<LegalHold><Status>ON</Status></LegalHold>`},
		action: "s3:PutObjectLegalHold", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a?legal-hold=&versionId=1",
		body: `<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>ON</Status></LegalHold>`,
	},
}
