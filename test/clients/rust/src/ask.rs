//! What every section needs: a configuration that takes who it is from the environment, and how an answer is judged.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// What a case comes to: what the table is to have beyond yes, or what is wrong.
pub type Outcome = Result<String, Box<dyn Error>>;

/// One attempt: what is answered first is what is judged. A deadline, so that a server that hangs fails a case.
pub fn once() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(20)).build())
}

pub async fn config() -> SdkConfig {
    once().load().await
}

pub fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_default()
}

pub fn yes() -> Outcome {
    Ok(String::new())
}

pub fn equal<T: PartialEq + Debug>(what: &str, got: T, want: T) -> Result<(), Box<dyn Error>> {
    if got == want {
        return Ok(());
    }
    Err(format!("{what}: got {got:?}, want {want:?}").into())
}

pub fn contains(what: &str, got: &str, want: &str) -> Result<(), Box<dyn Error>> {
    if got.contains(want) {
        return Ok(());
    }
    Err(format!("{what}: got {got:?}, want it to contain {want:?}").into())
}

/// Wants the service to answer an error code and a message.
pub fn refused<T, E, R>(code: &str, message: &str, result: Result<T, SdkError<E, R>>) -> Result<(), Box<dyn Error>>
where
    T: Debug,
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    let refusal = match result {
        Ok(got) => return Err(format!("got {got:?}, want to be refused with {code}").into()),
        Err(e) => e,
    };
    if refusal.code().is_none() {
        return Err(refusal.into());
    }
    equal("code", refusal.code(), Some(code))?;
    contains("message", refusal.message().unwrap_or_default(), message)
}
