//! TLS of the server: rustls and ring, with the certificate and key of its operator.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::StartError;

/// Reads a certificate chain and its key, both in PEM.
pub(super) fn server_config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, StartError> {
    let wrong = |path: &Path, message: String| StartError::Tls { path: path.into(), message: message.into() };
    let read = |path: &Path| std::fs::read(path).map_err(|error| wrong(path, format!("{error}; check the path")));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificates)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(certificates, format!("{error}; it has to hold certificates in PEM")))?;
    if chain.is_empty() {
        return Err(wrong(certificates, "there is no certificate in it; it has to hold certificates in PEM".to_owned()));
    }
    // The parser's error could quote the key.
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| wrong(key, "there is no private key in it that can be read; it has to hold one in PEM".to_owned()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    let mut config = config.map_err(|error| wrong(key, format!("{error}; it has to be the key of the first certificate")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
