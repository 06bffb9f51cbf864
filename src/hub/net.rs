//! The HTTP client: one request, from a byte on.

use std::io::Read;
use std::time::Duration;

use super::HubError;

/// What came back, its body still to be read.
pub(super) struct Answer {
    /// First byte of the file that the body holds.
    pub(super) from: u64,
    pub(super) body: Box<dyn Read>,
}

/// A hub that is spoken to over HTTP.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
    /// Address without a slash at its end, as `https://huggingface.co`.
    pub(super) endpoint: String,
}

impl Http {
    /// A hub at an address; an answer that begins later than `patience`, or pauses for longer, is none. A hub that is spoken to by HTTPS
    /// cannot send to an address without it.
    #[must_use]
    pub fn new(endpoint: &str, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .https_only(endpoint.starts_with("https://"))
            .http_status_as_error(false)
            .max_redirects(5)
            .user_agent(concat!("razvilka/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            endpoint: endpoint.trim_end_matches('/').into(),
        }
    }

    pub(super) fn get(&self, url: &str, from: u64) -> Result<Answer, HubError> {
        let refused = |reason: String| HubError::Refused {
            url: url.into(),
            reason,
        };
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let answer = request.call().map_err(|e| refused(e.to_string()))?;
        let begins = answer
            .headers()
            .get("content-range")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| {
                value
                    .strip_prefix("bytes ")?
                    .split('-')
                    .next()?
                    .parse()
                    .ok()
            });
        let from = match answer.status().as_u16() {
            200 => 0,
            206 => begins.ok_or_else(|| refused("a part of a file without its place".into()))?,
            401 | 403 => {
                return Err(refused(
                    "the hub wants to know who asks; fetch the model by hand and name its folder"
                        .into(),
                ));
            }
            404 => return Err(refused("there is no such model or file".into())),
            other => return Err(refused(format!("the hub answered {other}"))),
        };
        let body = Box::new(answer.into_body().into_reader());
        Ok(Answer { from, body })
    }
}
