// A pod of the oldest SDK for Rust that knows Pod Identity: it asks STS, at AWS_ENDPOINT_URL_STS, who it is, with the credentials
// of the default chain.

use aws_sdk_sts::{config, error::DisplayErrorContext, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let shared = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let endpoint = std::env::var("AWS_ENDPOINT_URL_STS").unwrap_or_default();
    let sts = Client::from_conf(config::Builder::from(&shared).endpoint_url(endpoint).build());
    match sts.get_caller_identity().send().await {
        Ok(who) => println!("{}", who.arn().unwrap_or_default()),
        Err(err) => {
            eprintln!("{}", DisplayErrorContext(err));
            std::process::exit(1)
        }
    }
}
