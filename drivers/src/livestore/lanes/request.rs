//! One request and its answer over HTTP.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::BackendFailure;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::super::client::{of_status, unreachable};
use super::secrets::Secrets;
use super::settings::{Credentials, Settings};

/// All pages of a pull come in one answer, and are held in memory at once.
const ANSWER_MAX: u64 = 256 << 20;

/// An agent that follows no redirect and uses no proxy: the URL holds credentials.
pub(super) fn agent(settings: &Settings) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match &settings.roots[..] {
        [] => RootCerts::WebPki,
        own => RootCerts::Specific(Arc::new(own.iter().map(|der| Certificate::from_der(der).to_owned()).collect())),
    };
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build();
    let timeouts = settings.timeouts;
    Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(timeouts.dial))
        .timeout_resolve(Some(timeouts.dial))
        .timeout_global(Some(timeouts.dial + timeouts.write + timeouts.answer))
        .timeout_recv_response(Some(timeouts.answer))
        .max_idle_age(Duration::from_secs(15))
        .build()
        .new_agent()
}

/// Posts a message, and answers the body of the answer. `is_push` says what a lost answer would leave open.
pub(super) fn post(
    agent: &Agent,
    settings: &Settings,
    with: &Credentials,
    message: String,
    is_push: bool,
) -> Result<Vec<u8>, BackendFailure> {
    let hidden = settings.secrets(with);
    let failed = |what: &str, sent: bool| unreachable(format!("{}: {}", settings.address, hidden.hide(what)), sent);
    let url = settings.address.url(&settings.store_id, with.0.as_ref()).map_err(|error| failed(&error.to_string(), false))?;
    let mut request = agent.post(&url).header("content-type", "application/json");
    request = request.header("x-livestore-store-id", &*settings.store_id);
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    let mut response = request.send(message).map_err(|error| failed(&error.to_string(), is_push && may_be_sent(&error)))?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
    if status != 200 {
        let body = body.unwrap_or_default();
        return Err(of_status(status, &hidden.hide(&String::from_utf8_lossy(&body)), is_push));
    }
    body.map_err(|error| failed(&format!("the answer broke off: {error}"), is_push))
}

/// Whether a request that failed like this may have reached somebody.
fn may_be_sent(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound | Error::ConnectionFailed | Error::Tls(_) | Error::Rustls(_) | Error::BadUri(_) => false,
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        Error::Io(error) => error.kind() != ErrorKind::ConnectionRefused && !is_about_certificate(error),
        _ => true,
    }
}

fn is_about_certificate(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// The failure without what must not be shown.
pub(super) fn hide(secrets: &Secrets, failure: BackendFailure) -> BackendFailure {
    match failure {
        BackendFailure::Unreachable { message, maybe_applied } => {
            BackendFailure::Unreachable { message: secrets.hide(&message).into(), maybe_applied }
        }
        BackendFailure::NeedsAuth { message } => BackendFailure::NeedsAuth { message: secrets.hide(&message).into() },
        BackendFailure::Truncated { message } => BackendFailure::Truncated { message: secrets.hide(&message).into() },
        BackendFailure::Unknown { message } => BackendFailure::Unknown { message: secrets.hide(&message).into() },
        BackendFailure::Refused { events } => {
            BackendFailure::Refused { events: events.into_iter().map(|(i, why)| (i, secrets.hide(&why).into())).collect() }
        }
        other @ (BackendFailure::ServerAhead { .. } | BackendFailure::Identity { .. }) => other,
    }
}
