//! As a pod: objects and buckets, and what a pod is refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::ProvideCredentials;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use crate::ask::{Outcome, config, contains, equal, refused, told, yes};

const BUCKET: &str = "pod-rust-sdk";
const UPLOADS: &str = "pod-uploads-rust";
const SMALL: &str = "hello from a pod\n";

async fn client() -> Client {
    Client::new(&config().await)
}

async fn put(s3: &Client, bucket: &str, key: &str, text: &str) -> Outcome {
    let body = ByteStream::from(text.as_bytes().to_vec());
    s3.put_object().bucket(bucket).key(key).body(body).send().await?;
    yes()
}

async fn get(s3: &Client, bucket: &str, key: &str) -> Outcome {
    let got = s3.get_object().bucket(bucket).key(key).send().await?;
    Ok(String::from_utf8(got.body.collect().await?.to_vec())?)
}

pub async fn by_default_chain() -> Outcome {
    let config = config().await;
    let found = config.credentials_provider().ok_or("no provider")?.provide_credentials().await?;
    contains("access key id", found.access_key_id(), "ASIA")?;
    let who = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await?;
    contains("arn", who.arn().unwrap_or_default(), &format!(":assumed-role/{}/eks-dev-rust-sdk-", told("TRIED_ROLE")))?;
    yes()
}

pub async fn buckets() -> Outcome {
    let s3 = client().await;
    let list = s3.list_buckets().send().await?;
    let names: Vec<_> = list.buckets().iter().filter_map(|b| b.name()).collect();
    for want in ["infra-lower-c65432gh", "eks-charts-manifest-67565rr"] {
        equal(want, names.contains(&want), true)?;
    }
    s3.create_bucket().bucket(BUCKET).send().await?;
    refused("BucketAlreadyOwnedByYou", "", s3.create_bucket().bucket(BUCKET).send().await)?;
    s3.head_bucket().bucket(BUCKET).send().await?;
    let missing = s3.head_bucket().bucket("pod-missing").send().await;
    equal("a missing bucket", missing.is_err_and(|e| e.raw_response().is_some_and(|r| r.status().as_u16() == 404)), true)?;
    put(&s3, BUCKET, "last", "").await?;
    refused("BucketNotEmpty", "", s3.delete_bucket().bucket(BUCKET).send().await)?;
    s3.delete_object().bucket(BUCKET).key("last").send().await?;
    s3.delete_bucket().bucket(BUCKET).send().await?;
    refused("NoSuchBucket", "", s3.list_objects_v2().bucket(BUCKET).send().await)?;
    s3.create_bucket().bucket(BUCKET).send().await?;
    yes()
}

pub async fn objects() -> Outcome {
    let s3 = client().await;
    let large = "pod".repeat(1_000_000);
    let body = ByteStream::from_static(SMALL.as_bytes());
    s3.put_object().bucket(BUCKET).key("small.txt").content_type("text/plain").metadata("team", "pay").body(body).send().await?;
    put(&s3, BUCKET, "large.bin", &large).await?;
    equal("small.txt", get(&s3, BUCKET, "small.txt").await?.as_str(), SMALL)?;
    equal("large.bin is what it was", get(&s3, BUCKET, "large.bin").await? == large, true)?;
    let head = s3.head_object().bucket(BUCKET).key("small.txt").send().await?;
    equal("length", head.content_length(), Some(SMALL.len() as i64))?;
    equal("metadata", head.metadata().and_then(|m| m.get("team")).map(String::as_str), Some("pay"))?;
    let part = s3.get_object().bucket(BUCKET).key("large.bin").range("bytes=1000000-1000099").send().await?;
    equal("range", &part.body.collect().await?.to_vec()[..], &large.as_bytes()[1_000_000..1_000_100])?;
    refused("PreconditionFailed", "", s3.get_object().bucket(BUCKET).key("small.txt").if_match("\"other\"").send().await)?;
    let body = ByteStream::from_static(b"new");
    refused("PreconditionFailed", "", s3.put_object().bucket(BUCKET).key("small.txt").if_none_match("*").body(body).send().await)?;
    s3.delete_object().bucket(BUCKET).key("small.txt").send().await?;
    let gone = s3.get_object().bucket(BUCKET).key("small.txt").send().await;
    equal("class", gone.is_err_and(|e| e.into_service_error().is_no_such_key()), true)?;
    yes()
}

pub async fn odd_keys() -> Outcome {
    let s3 = client().await;
    let keys: Vec<String> = serde_json::from_str(&told("TRIED_ODD_KEYS"))?;
    let mut want: Vec<String> = keys.iter().map(|k| format!("odd/{k}")).collect();
    want.sort();
    equal("there is no key to try", want.is_empty(), false)?;
    for key in &want {
        put(&s3, BUCKET, key, key).await?;
    }
    let list = s3.list_objects_v2().bucket(BUCKET).prefix("odd/").send().await?;
    let mut got: Vec<String> = list.contents().iter().filter_map(|o| o.key().map(String::from)).collect();
    got.sort();
    equal("keys", &got, &want)?;
    for key in &want {
        equal(key, &get(&s3, BUCKET, key).await?, key)?;
        s3.delete_object().bucket(BUCKET).key(key).send().await?;
    }
    yes()
}

pub async fn listing() -> Outcome {
    let s3 = client().await;
    for key in ["list/0", "list/1", "list/2", "list/deep/er"] {
        put(&s3, BUCKET, key, "").await?;
    }
    let mut pages = s3.list_objects_v2().bucket(BUCKET).prefix("list/").delimiter("/").max_keys(2).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page?;
        found.extend(page.contents().iter().filter_map(|o| o.key().map(String::from)));
        found.extend(page.common_prefixes().iter().filter_map(|p| p.prefix().map(String::from)));
    }
    equal("keys", found, ["list/0", "list/1", "list/2", "list/deep/"].map(String::from).to_vec())?;
    yes()
}

pub async fn access_denied() -> Outcome {
    let s3 = client().await;
    let body = ByteStream::from_static(b"x");
    refused("AccessDenied", "s3:PutObject", s3.put_object().bucket(BUCKET).key("secret/x").body(body).send().await)?;
    refused("AccessDenied", "s3:GetObject", s3.get_object().bucket(BUCKET).key("secret/x").send().await)?;
    refused("AccessDenied", "s3:CreateBucket", s3.create_bucket().bucket("not-ours").send().await)?;
    refused("AccessDenied", "s3:ListBucket", s3.list_objects_v2().bucket("infra-lower-c65432gh").send().await)?;
    refused("NotImplemented", "", s3.put_bucket_policy().bucket(BUCKET).policy("{}").send().await)?;
    yes()
}

/// A file is read while it is sent; of its bytes only the number is known before.
pub async fn stream() -> Outcome {
    let s3 = client().await;
    s3.create_bucket().bucket(UPLOADS).send().await?;
    let file = std::env::temp_dir().join("rust-stream");
    std::fs::write(&file, SMALL.repeat(20_000))?;
    let body = ByteStream::from_path(&file).await?;
    s3.put_object().bucket(UPLOADS).key("stream").body(body).send().await?;
    equal("the object is the file", get(&s3, UPLOADS, "stream").await? == SMALL.repeat(20_000), true)?;
    yes()
}

pub async fn multipart() -> Outcome {
    let s3 = client().await;
    let made = s3.create_multipart_upload().bucket(UPLOADS).key("parts").send().await?;
    let id = made.upload_id().unwrap_or_default();
    let pieces = ["a".repeat(5 << 20), "the end".to_string()];
    let mut parts = CompletedMultipartUpload::builder();
    for (i, piece) in pieces.iter().enumerate() {
        let (number, body) = (i as i32 + 1, ByteStream::from(piece.clone().into_bytes()));
        let part = s3.upload_part().bucket(UPLOADS).key("parts").upload_id(id).part_number(number).body(body).send().await?;
        parts = parts.parts(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag().map(String::from)).build());
    }
    s3.complete_multipart_upload().bucket(UPLOADS).key("parts").upload_id(id).multipart_upload(parts.build()).send().await?;
    equal("the object is its parts", get(&s3, UPLOADS, "parts").await? == pieces.concat(), true)?;
    yes()
}

pub async fn presigned() -> Outcome {
    let s3 = client().await;
    put(&s3, UPLOADS, "small.txt", SMALL).await?;
    let expires = PresigningConfig::expires_in(Duration::from_secs(60))?;
    let url = s3.get_object().bucket(UPLOADS).key("small.txt").presigned(expires).await?;
    let rest = url.uri().strip_prefix("http://").ok_or("the URL is not of plain HTTP")?;
    let (host, path) = rest.split_once('/').ok_or("the URL has no path")?;
    let mut connection = TcpStream::connect(host)?;
    write!(connection, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    contains("answer", &answer, SMALL)?;
    yes()
}

pub async fn agent_says_no() -> Outcome {
    match client().await.list_buckets().send().await {
        Ok(_) => Err("a pod without an association got credentials".into()),
        Err(e @ SdkError::DispatchFailure(_)) => {
            let text = DisplayErrorContext(e).to_string();
            Ok(if text.contains("No pod identity association found") { "shown" } else { "lost by the SDK" }.into())
        }
        Err(e) => Err(e.into()),
    }
}
