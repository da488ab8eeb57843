//! Pods and gateways that speak TLS, and those that ask for a client certificate.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use scraper::settings::{ClientCertificate, Gateways, TlsSettings};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer,
        server::WebPkiClientVerifier,
    },
};

use crate::{
    server::{Reply, Server},
    world::{Envoy, Pod, anywhere, is_down, page, settings, start, waiting},
};

/// Certificates of a server at 127.0.0.1 and of a client, in files.
struct Papers {
    folder: tempfile::TempDir,
    server: CertifiedKey<KeyPair>,
    client: CertifiedKey<KeyPair>,
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let client = generate_simple_self_signed(["scraper".to_owned()]).unwrap();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", server.cert.pem());
        write("client.pem", client.cert.pem());
        write("client-key.pem", client.signing_key.serialize_pem());
        Self { folder, server, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the TLS of a server that takes only clients with the certificate.
    fn acceptor(&self) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        roots.add(self.client.cert.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::try_from(self.server.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![self.server.cert.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn ours(&self) -> TlsSettings {
        let certificate = self.path("client.pem");
        let client = Some(ClientCertificate { certificate, key: self.path("client-key.pem") });
        TlsSettings { ca: Some(self.path("ca.pem")), client, server_name: None }
    }
}

#[tokio::test]
async fn a_pod_s_certificate_counts_and_ours_is_shown() {
    let (papers, envoy) = (Papers::new(), Envoy::start().await);
    let pod = Server::start_with(anywhere(), Some(papers.acceptor()), |_| page(3)).await;
    let stranger = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(papers.path("stranger.pem"), stranger.cert.pem()).unwrap();
    let right = papers.ours();
    let any_ca = TlsSettings { ca: None, ..right.clone() };
    let wrong_ca = TlsSettings { ca: Some(papers.path("stranger.pem")), ..right.clone() };
    let wrong_name = TlsSettings { server_name: Some("other".to_owned()), ..right.clone() };
    let no_client = TlsSettings { client: None, ..right.clone() };
    let cases =
        [(right, true), (any_ca, true), (wrong_ca, false), (wrong_name, false), (no_client, false)];
    for (tls, answers) in cases {
        let mut settings = settings(&[pod.address], &[envoy.address]);
        settings.pools[0].source.tls = Some(Arc::new(tls));
        let scraper = start(settings).await;
        if answers {
            envoy.wait_for(pod.address, "3 waiting", |it| waiting(it) == Some(3)).await;
        } else {
            envoy.wait_for(pod.address, "down", is_down).await;
        }
        scraper.stop().await;
    }
}

#[tokio::test]
async fn a_gateway_may_ask_for_a_certificate() {
    let (papers, pod) = (Papers::new(), Pod::start(page(3)).await);
    let (count, mut asked) = tokio::sync::watch::channel(0_u32);
    let gateway = Server::start_with(anywhere(), Some(papers.acceptor()), move |_| {
        count.send_modify(|count| *count += 1);
        Reply::Whole(204, Vec::new())
    });
    let gateway = gateway.await;
    let mut settings = settings(&[pod.address], &[]);
    settings.gateways = Gateways {
        urls: vec![format!("https://{}", gateway.address).parse().unwrap()],
        service: None,
        tls: Some(Arc::new(papers.ours())),
    };
    let _scraper = start(settings).await;
    asked.wait_for(|count| *count >= 3).await.unwrap();
}
