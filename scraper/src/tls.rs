//! TLS to peers: whom to believe, and who we are.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tracing::warn;

/// How long files that were read are good for. A system's bundle of authorities takes milliseconds
/// to read, which peers that close each connection would cost again and again; and replaced
/// certificates overlap with the old ones for longer than this.
const READ_FOR: Duration = Duration::from_secs(60);

/// How TLS is spoken with one kind of peers (EPP: metrics-data-source).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Who vouches for the peers; nothing to believe anybody (`insecureSkipVerify`).
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key, if peers ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that peers' certificates are for, if not the host that they are asked at.
    pub server_name: Option<String>,
}

impl TlsSettings {
    /// Reads the files.
    ///
    /// # Errors
    /// If one can't be read, or the key is not that of the certificate.
    pub fn load(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?;
        let builder = match &self.ca {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            }
        };
        let Some((certificate, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let fail = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|why| fail(key, &why))?;
        builder.with_client_auth_cert(chain, private).map_err(|why| fail(certificate, &why))
    }
}

/// TLS as it is spoken now: certificates may be replaced while the scraper runs.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: Arc<TlsSettings>,
    read: Mutex<Option<(Instant, Arc<ClientConfig>)>>,
}

impl Tls {
    pub(crate) const fn new(settings: Arc<TlsSettings>) -> Self {
        Self { settings, read: Mutex::new(None) }
    }

    /// The name that peers' certificates are for, if not the host that they are asked at.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.settings.server_name.as_deref()
    }

    /// How connections are made that begin at `now`. Files that can't be read any more, as while they
    /// are replaced, leave it as it was.
    ///
    /// # Errors
    /// If they never could be read.
    pub(crate) fn at(&self, now: Instant) -> Result<Arc<ClientConfig>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match &*read {
            Some((at, config)) if now.saturating_duration_since(*at) < READ_FOR => {
                return Ok(Arc::clone(config));
            }
            last => last.as_ref().map(|(_, config)| Arc::clone(config)),
        };
        let config = match (self.settings.load(), last) {
            (Ok(config), _) => Arc::new(config),
            (Err(why), Some(last)) => {
                warn!("certificates stay as they were: {why}");
                last
            }
            (Err(why), None) => return Err(why),
        };
        *read = Some((now, Arc::clone(&config)));
        Ok(config)
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(format!("{}: there is no usable certificate in it", path.display()));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(|why| fail(&why))?;
    all.collect::<Result<_, _>>().map_err(|why| fail(&why))
}

/// Believes every certificate; only that the peer has its key is checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0.signature_verification_algorithms
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_again_after_a_while_and_may_be_away_then() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let ca = Some(file.path().to_owned());
        let tls = Tls::new(TlsSettings { ca, client: None, server_name: None }.into());
        let (start, minutes) = (Instant::now(), |count| READ_FOR * count);
        let said = tls.at(start).unwrap_err();
        assert!(said.ends_with("there is no usable certificate in it"), "{said}");

        let paper = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        fs::write(file.path(), paper.cert.pem()).unwrap();
        let first = tls.at(start).unwrap();
        assert!(Arc::ptr_eq(&first, &tls.at(start + minutes(1) / 2).unwrap()));
        let second = tls.at(start + minutes(1)).unwrap();
        assert!(!Arc::ptr_eq(&first, &second), "it was read again");
        fs::write(file.path(), "").unwrap();
        assert!(Arc::ptr_eq(&second, &tls.at(start + minutes(3)).unwrap()));
    }
}
