//! TLS by rustls and ring: Mozilla's root certificates, or those that the application names instead.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::super::protocol::AddressError;

/// The certificates in a PEM text, in DER.
///
/// # Errors
///
/// If there is none, or one can't be read.
pub(in super::super) fn read_certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, AddressError> {
    let wrong = |why: String| AddressError::Certificate(why);
    let mut found = Vec::new();
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
        found.push(certificate.to_vec());
    }
    if found.is_empty() { Err(wrong("there is none in the text".to_owned())) } else { Ok(found) }
}

/// How a connection is encrypted. Made once: sessions are resumed over it.
pub(in super::super) fn client_config(roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, AddressError> {
    let wrong = |error: rustls::Error| AddressError::Certificate(error.to_string());
    let mozilla = if roots.is_empty() { webpki_roots::TLS_SERVER_ROOTS } else { &[] };
    let mut store = RootCertStore { roots: mozilla.to_vec() };
    for root in roots {
        store.add(CertificateDer::from(root.clone())).map_err(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(wrong)?;
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}
