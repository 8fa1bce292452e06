//! The AWS SDK for Rust's part of the suite: with a section's name, its cases are tried in order and each is told on a line
//! of its own. Nothing names credentials, but where a wrong one is the case.

mod ask;
mod management;
mod s3;

use std::future::Future;

use ask::Outcome;
use aws_sdk_s3::error::DisplayErrorContext;

async fn case(name: &str, attempt: impl Future<Output = Outcome>) {
    let (error, note) = match attempt.await {
        Ok(note) => (None, note),
        Err(e) => (Some(DisplayErrorContext(&*e).to_string()), String::new()),
    };
    println!("{}", serde_json::json!({"case": name, "error": error, "note": note}));
}

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("pod") => {
            case("credentials by the default chain", s3::by_default_chain()).await;
            case("buckets", s3::buckets()).await;
            case("objects", s3::objects()).await;
            case("odd keys", s3::odd_keys()).await;
            case("listing", s3::listing()).await;
            case("AccessDenied", s3::access_denied()).await;
            case("EKS and IAM are denied to a pod", management::denied_to_a_pod()).await;
        }
        Some("uploads") => {
            case("upload of a stream", s3::stream()).await;
            case("multipart upload", s3::multipart()).await;
            case("presigned URL", s3::presigned()).await;
        }
        Some("stranger") => case("the agent's reason", s3::agent_says_no()).await,
        Some("plain") => case("the reason as AWS's agent tells it", s3::agent_says_no()).await,
        Some("eks") => case("clusters and associations", management::clusters_and_associations()).await,
        Some("iam") => case("roles and policies", management::roles_and_policies()).await,
        Some("signing") => {
            case("any region", management::any_region()).await;
            case("wrong secret, unknown key", management::wrong_keys()).await;
        }
        Some("agent") => {
            case("AssumeRoleWithWebIdentity by the default chain", management::web_identity()).await;
            case("AssumeRoleWithWebIdentity, refused", management::web_identity_refused()).await;
            case("AssumeRoleForPodIdentity as the agent", management::eks_auth()).await;
        }
        Some("refresh") => case("refresh across an expiry", management::expiry()).await,
        Some("tls") => case("own CA by the injected variables", management::own_ca()).await,
        Some("version") => case("version", async { Ok(aws_sdk_s3::meta::PKG_VERSION.to_string()) }).await,
        section => panic!("no section {section:?}"),
    }
}
