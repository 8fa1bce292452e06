//! As the administrator: EKS, IAM and signatures. As the node's agent: web identity and EKS Auth. As a pod: credentials that
//! expire.

use std::error::Error;
use std::time::Duration;

use aws_config::Region;
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};

use crate::ask::{Outcome, config, contains, equal, once, refused, told, yes};

fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::111122223333:role/{name}")
}

pub async fn denied_to_a_pod() -> Outcome {
    let at = once().endpoint_url(told("TRIED_ENDPOINT")).load().await;
    let eks = aws_sdk_eks::Client::new(&at).list_clusters().send().await;
    refused("AccessDeniedException", "eks:ListClusters", eks)?;
    let iam = aws_sdk_iam::Client::new(&at).get_role().role_name(told("TRIED_ROLE")).send().await;
    refused("AccessDenied", "iam:GetRole", iam)?;
    yes()
}

pub async fn clusters_and_associations() -> Outcome {
    let eks = aws_sdk_eks::Client::new(&config().await);
    equal("clusters", eks.list_clusters().send().await?.clusters().contains(&"dev".to_string()), true)?;
    let cluster = eks.describe_cluster().name("dev").send().await?;
    equal("status", cluster.cluster().and_then(|c| c.status()).map(|s| s.as_str()), Some("ACTIVE"))?;
    refused("ResourceNotFoundException", "No cluster found for name: absent.", eks.describe_cluster().name("absent").send().await)?;

    let role = role_arn(&told("TRIED_ROLE"));
    let create = |account: &str, role: &str| {
        eks.create_pod_identity_association().cluster_name("dev").namespace("rust").service_account(account).role_arn(role)
    };
    let made = create("reporter", &role).tags("a", "1").send().await?;
    let made = made.association().ok_or("no association")?;
    let (id, arn) = (made.association_id().unwrap_or_default(), made.association_arn().unwrap_or_default());
    refused("ResourceInUseException", id, create("reporter", &role).send().await)?;
    let found = eks.list_pod_identity_associations().cluster_name("dev").namespace("rust").send().await?;
    equal("associations", found.associations().iter().filter_map(|a| a.association_id()).collect::<Vec<_>>(), vec![id])?;
    let one = eks.describe_pod_identity_association().cluster_name("dev").association_id(id).send().await?;
    equal("role", one.association().and_then(|a| a.role_arn()), Some(role.as_str()))?;
    let other = role_arn("ec2-restart-role");
    let changed = eks.update_pod_identity_association().cluster_name("dev").association_id(id).role_arn(&other).send().await?;
    equal("role", changed.association().and_then(|a| a.role_arn()), Some(other.as_str()))?;
    eks.tag_resource().resource_arn(arn).tags("b", "2").send().await?;
    eks.untag_resource().resource_arn(arn).tag_keys("a").send().await?;
    let tags = eks.list_tags_for_resource().resource_arn(arn).send().await?;
    equal("tags", format!("{:?}", tags.tags()), r#"Some({"b": "2"})"#.to_string())?;
    let absent = create("bad", &role_arn("absent")).send().await;
    refused("InvalidParameterException", "Role provided in the request does not exist.", absent)?;
    let delete = || eks.delete_pod_identity_association().cluster_name("dev").association_id(id).send();
    delete().await?;
    refused("ResourceNotFoundException", "", delete().await)?;
    yes()
}

pub async fn roles_and_policies() -> Outcome {
    let iam = aws_sdk_iam::Client::new(&config().await);
    let (role, trust) = ("rust-role", told("TRIED_TRUST"));
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let create = || iam.create_role().role_name(role).assume_role_policy_document(&trust).send();
    equal("arn", create().await?.role().map(|r| r.arn().to_string()), Some(role_arn(role)))?;
    refused("EntityAlreadyExists", role, create().await)?;
    iam.put_role_policy().role_name(role).policy_name("read").policy_document(policy).send().await?;
    let kept = iam.list_role_policies().role_name(role).send().await?;
    equal("policies", kept.policy_names(), &["read".to_string()][..])?;
    let bad = iam.put_role_policy().role_name(role).policy_name("bad").policy_document(r#"{"Statement":[]}"#).send().await;
    refused("MalformedPolicyDocument", "", bad)?;
    refused("DeleteConflict", "", iam.delete_role().role_name(role).send().await)?;
    iam.delete_role_policy().role_name(role).policy_name("read").send().await?;
    iam.delete_role().role_name(role).send().await?;
    refused("NoSuchEntity", role, iam.get_role().role_name(role).send().await)?;
    let user = iam.get_user().send().await?;
    equal("user", user.user().map(|u| u.user_name()), Some("administrator"))?;
    yes()
}

pub async fn any_region() -> Outcome {
    let there = once().region(Region::new("eu-west-1")).load().await;
    aws_sdk_s3::Client::new(&there).list_buckets().send().await?;
    aws_sdk_iam::Client::new(&there).get_user().send().await?;
    aws_sdk_eks::Client::new(&there).list_clusters().send().await?;
    yes()
}

pub async fn wrong_keys() -> Outcome {
    let cases = [
        (told("AWS_ACCESS_KEY_ID"), ["SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException"]),
        ("AKIAIOSFODNN7EXAMPLE".into(), ["InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"]),
    ];
    for (id, [s3, iam, eks]) in cases {
        let wrong = once().credentials_provider(Credentials::new(id, "wrong", None, None, "wrong")).load().await;
        refused(s3, "", aws_sdk_s3::Client::new(&wrong).list_buckets().send().await)?;
        refused(iam, "", aws_sdk_iam::Client::new(&wrong).get_user().send().await)?;
        refused(eks, "", aws_sdk_eks::Client::new(&wrong).list_clusters().send().await)?;
    }
    yes()
}

async fn who(sts: &aws_sdk_sts::Client) -> Result<String, Box<dyn Error>> {
    Ok(sts.get_caller_identity().send().await?.arn().unwrap_or_default().to_string())
}

pub async fn web_identity() -> Outcome {
    contains("arn", &who(&aws_sdk_sts::Client::new(&config().await)).await?, ":assumed-role/lanyard-agent-")?;
    yes()
}

pub async fn web_identity_refused() -> Outcome {
    let sts = aws_sdk_sts::Client::new(&config().await);
    for token in [told("TRIED_POD_TOKEN"), "x.y.z".into()] {
        let call = sts.assume_role_with_web_identity().role_arn(told("AWS_ROLE_ARN")).role_session_name("rust");
        refused("InvalidIdentityToken", "", call.web_identity_token(token).send().await)?;
    }
    yes()
}

pub async fn eks_auth() -> Outcome {
    let auth = aws_sdk_eksauth::Client::new(&config().await);
    let ask = |token: String| auth.assume_role_for_pod_identity().cluster_name("dev").token(token).send();
    let got = ask(told("TRIED_POD_TOKEN")).await?;
    equal("subject", got.subject().map(|s| (s.namespace(), s.service_account())), Some(("default", "rust-sdk")))?;
    refused("InvalidTokenException", "", ask("x.y.z".into()).await)?;
    yes()
}

/// Waits until the first session is refused as expired, which no client may be caught by.
pub async fn expiry() -> Outcome {
    let config = config().await;
    let chain = config.credentials_provider().ok_or("no provider")?;
    let sts = aws_sdk_sts::Client::new(&config);
    let first = chain.provide_credentials().await?;
    let before = who(&sts).await?;
    let token = first.session_token().map(String::from);
    let old = Credentials::new(first.access_key_id(), first.secret_access_key(), token, None, "first");
    let old = aws_sdk_sts::Client::new(&once().credentials_provider(old).load().await);
    let end = loop {
        match old.get_caller_identity().send().await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(e) => break e,
        }
    };
    equal("code", end.code(), Some("ExpiredToken"))?;
    let after = who(&sts).await?;
    contains("arn", &after, &format!(":assumed-role/{}/", told("TRIED_ROLE")))?;
    equal("the session is still the first one", after == before, false)?;
    yes()
}

pub async fn own_ca() -> Outcome {
    match aws_sdk_sts::Client::new(&config().await).get_caller_identity().send().await {
        Ok(who) => contains("arn", who.arn().unwrap_or_default(), ":user/")?,
        Err(e) => {
            contains("error", &DisplayErrorContext(&e).to_string().to_lowercase(), "certificate")?;
            return Ok("no: `SSL_CERT_FILE`".into());
        }
    }
    yes()
}
