// Writes an object with the AWS SDK for JavaScript as any program does, and reads it again: shop.mjs BUCKET KEY

import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

const [Bucket, Key] = process.argv.slice(2);
const s3 = new S3Client({});
const text = Key.repeat(10_000);
await s3.send(new PutObjectCommand({ Bucket, Key, Body: text }));
const back = await (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body.transformToString();
if (back !== text) throw new Error(`read ${back.length} characters, want the ${text.length} that were written`);
console.log(`wrote and read ${back.length} bytes`);
