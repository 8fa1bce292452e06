// As a pod: objects and buckets, what a pod is refused, and credentials that expire.

import { Readable } from "node:stream";

import {
  CompleteMultipartUploadCommand, CreateBucketCommand, CreateMultipartUploadCommand, DeleteBucketCommand, DeleteObjectCommand,
  GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListBucketsCommand, ListObjectsV2Command, PutObjectCommand,
  PutBucketPolicyCommand, S3Client, UploadPartCommand, paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { EKSClient, ListClustersCommand } from "@aws-sdk/client-eks";
import { GetRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import { contains, ENDPOINT, equal, ODD_KEYS, ONCE, refused, ROLE, SMALL } from "./ask.mjs";

const Bucket = "pod-js-sdk";
const s3 = new S3Client(ONCE);
const send = (Command, input = {}) => s3.send(new Command(input));
const body = async (input) => (await send(GetObjectCommand, { Bucket, ...input })).Body.transformToString();

async function byDefaultChain() {
  contains((await s3.config.credentials()).accessKeyId, "ASIA");
  contains((await new STSClient(ONCE).send(new GetCallerIdentityCommand())).Arn, `:assumed-role/${ROLE}/eks-dev-js-sdk-`);
}

async function buckets() {
  const names = (await send(ListBucketsCommand)).Buckets.map((b) => b.Name);
  contains(names, "infra-lower-c65432gh");
  contains(names, "eks-charts-manifest-67565rr");
  await send(CreateBucketCommand, { Bucket });
  await refused("BucketAlreadyOwnedByYou", "", send(CreateBucketCommand, { Bucket }));
  await send(HeadBucketCommand, { Bucket });
  equal((await send(HeadBucketCommand, { Bucket: "pod-missing" }).catch((e) => e)).$metadata.httpStatusCode, 404, "status");
  await send(PutObjectCommand, { Bucket, Key: "last", Body: "" });
  await refused("BucketNotEmpty", "", send(DeleteBucketCommand, { Bucket }));
  await send(DeleteObjectCommand, { Bucket, Key: "last" });
  await send(DeleteBucketCommand, { Bucket });
  await refused("NoSuchBucket", "", send(ListObjectsV2Command, { Bucket }));
  await send(CreateBucketCommand, { Bucket });
}

async function objects() {
  const large = Buffer.alloc(3_000_000, "pod");
  await send(PutObjectCommand, { Bucket, Key: "small.txt", Body: SMALL, ContentType: "text/plain", Metadata: { team: "pay" } });
  await send(PutObjectCommand, { Bucket, Key: "large.bin", Body: large });
  equal(await body({ Key: "small.txt" }), SMALL);
  equal((await body({ Key: "large.bin" })) === large.toString(), true, "the large object is what it was");
  const head = await send(HeadObjectCommand, { Bucket, Key: "small.txt" });
  equal([head.ContentLength, head.ContentType, head.Metadata], [SMALL.length, "text/plain", { team: "pay" }]);
  equal(await body({ Key: "large.bin", Range: "bytes=1000000-1000099" }), large.subarray(1000000, 1000100).toString());
  await refused("PreconditionFailed", "", body({ Key: "small.txt", IfMatch: '"other"' }));
  await refused("PreconditionFailed", "", send(PutObjectCommand, { Bucket, Key: "small.txt", Body: "new", IfNoneMatch: "*" }));
  await send(DeleteObjectCommand, { Bucket, Key: "small.txt" });
  await refused("NoSuchKey", "", body({ Key: "small.txt" }));
}

async function oddKeys() {
  const want = ODD_KEYS.map((k) => "odd/" + k).sort();
  if (want.length === 0) throw new Error("no key to try");
  for (const Key of want) await send(PutObjectCommand, { Bucket, Key, Body: Key });
  const got = (await send(ListObjectsV2Command, { Bucket, Prefix: "odd/" })).Contents.map((o) => o.Key);
  equal(got.sort(), want, "keys");
  for (const Key of want) {
    equal(await body({ Key }), Key);
    await send(DeleteObjectCommand, { Bucket, Key });
  }
}

async function listing() {
  const keys = ["list/0", "list/1", "list/2", "list/deep/er"];
  for (const Key of keys) await send(PutObjectCommand, { Bucket, Key, Body: "" });
  const found = [];
  const pages = paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket, Prefix: "list/", Delimiter: "/" });
  for await (const page of pages) found.push(...(page.Contents ?? []).map((o) => o.Key), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix));
  equal(found, ["list/0", "list/1", "list/2", "list/deep/"]);
}

async function accessDenied() {
  await refused("AccessDenied", "s3:PutObject", send(PutObjectCommand, { Bucket, Key: "secret/x", Body: "x" }));
  await refused("AccessDenied", "s3:GetObject", send(GetObjectCommand, { Bucket, Key: "secret/x" }));
  await refused("AccessDenied", "s3:CreateBucket", send(CreateBucketCommand, { Bucket: "not-ours" }));
  await refused("AccessDenied", "s3:ListBucket", send(ListObjectsV2Command, { Bucket: "infra-lower-c65432gh" }));
  await refused("NotImplemented", "", send(PutBucketPolicyCommand, { Bucket, Policy: "{}" }));
}

async function managementDenied() {
  const endpoint = ENDPOINT;
  await refused("AccessDeniedException", "eks:ListClusters", new EKSClient({ ...ONCE, endpoint }).send(new ListClustersCommand()));
  await refused("AccessDenied", "iam:GetRole", new IAMClient({ ...ONCE, endpoint }).send(new GetRoleCommand({ RoleName: ROLE })));
}

const uploads = "pod-uploads-js";

async function stream() {
  await send(CreateBucketCommand, { Bucket: uploads });
  const parts = ["a".repeat(10_000), "b".repeat(10_000), "the end\n"]; // chunks under 8 KiB are for the end of a body alone
  const text = parts.join("");
  // The SDK sends no stream whose length it does not know.
  const Body = Readable.from(parts.map((p) => Buffer.from(p)));
  await send(PutObjectCommand, { Bucket: uploads, Key: "stream", Body, ContentLength: text.length });
  equal((await body({ Bucket: uploads, Key: "stream" })) === text, true, "the object is the stream");
}

async function multipart() {
  const at = { Bucket: uploads, Key: "parts" };
  const pieces = [Buffer.alloc(5 << 20, "a"), Buffer.from("the end")];
  const { UploadId } = await send(CreateMultipartUploadCommand, at);
  const Parts = [];
  for (const [i, Body] of pieces.entries()) {
    const { ETag } = await send(UploadPartCommand, { ...at, UploadId, PartNumber: i + 1, Body });
    Parts.push({ ETag, PartNumber: i + 1 });
  }
  await send(CompleteMultipartUploadCommand, { ...at, UploadId, MultipartUpload: { Parts } });
  equal((await body(at)) === Buffer.concat(pieces).toString(), true, "the object is its parts");
}

async function presigned() {
  await send(PutObjectCommand, { Bucket: uploads, Key: "small.txt", Body: SMALL });
  const answer = await fetch(await getSignedUrl(s3, new GetObjectCommand({ Bucket: uploads, Key: "small.txt" })));
  equal([answer.status, await answer.text()], [200, SMALL]);
}

async function agentSaysNo() {
  try {
    await send(ListBucketsCommand);
  } catch (e) {
    equal(e.name, "CredentialsProviderError", `class of ${e.message}`);
    return e.message.includes("No pod identity association found") ? "shown" : "lost by the SDK";
  }
  throw new Error("a pod without an association got credentials");
}

// expiry waits until the first session is refused as expired, which no client may be caught by.
async function expiry() {
  const sts = new STSClient(ONCE);
  const who = async () => (await sts.send(new GetCallerIdentityCommand())).Arn;
  const first = await sts.config.credentials();
  const arn = await who();
  const { accessKeyId, secretAccessKey, sessionToken } = first;
  const old = new STSClient({ ...ONCE, credentials: { accessKeyId, secretAccessKey, sessionToken } });
  for (let live = true; live; ) {
    live = await old.send(new GetCallerIdentityCommand()).then(() => true, (e) => {
      if (e.name !== "ExpiredToken" && e.name !== "ExpiredTokenException") throw e;
      return false;
    });
    await new Promise((next) => setTimeout(next, 100));
  }
  const renewed = await who();
  contains(renewed, `:assumed-role/${ROLE}/`);
  if (renewed === arn) throw new Error(`still ${arn}, want a session of its own`);
  if ((await sts.config.credentials()).accessKeyId === accessKeyId) throw new Error("the expired key is still in use");
}

export const POD = [
  ["credentials by the default chain", byDefaultChain],
  ["buckets", buckets],
  ["objects", objects],
  ["odd keys", oddKeys],
  ["listing", listing],
  ["AccessDenied", accessDenied],
  ["EKS and IAM are denied to a pod", managementDenied],
];

export const STRANGER = [["the agent's reason", agentSaysNo]];

export const PLAIN = [["the reason as AWS's agent tells it", agentSaysNo]];

export const UPLOADS = [
  ["upload of a stream", stream],
  ["multipart upload", multipart],
  ["presigned URL", presigned],
];

export const REFRESH = [["refresh across an expiry", expiry]];
