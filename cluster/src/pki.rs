//! The certificates and keys of a control plane, made anew for each.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Writes the certificates of the API server and of an administrator, the key of service accounts, and a kubeconfig with the
/// administrator's, all into `folder`.
pub(crate) fn write(folder: &Path, server: &str, addresses: &[&str]) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = named("cluster", None, &[])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let root = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    fs::write(folder.join("ca.crt"), &root)?;

    let key = KeyPair::generate()?;
    let certificate = named("kube-apiserver", None, addresses)?.signed_by(&key, &issuer)?;
    fs::write(folder.join("apiserver.crt"), certificate.pem())?;
    write_secret(&folder.join("apiserver.key"), &key.serialize_pem())?;

    let accounts = KeyPair::generate()?;
    write_secret(&folder.join("accounts.key"), &accounts.serialize_pem())?;
    fs::write(folder.join("accounts.pub"), accounts.public_key_pem())?;

    let key = KeyPair::generate()?;
    let certificate = named("admin", Some("system:masters"), &[])?.signed_by(&key, &issuer)?;
    let user = serde_json::json!({
        "client-certificate-data": STANDARD.encode(certificate.pem()),
        "client-key-data": STANDARD.encode(key.serialize_pem()),
    });
    let cluster = serde_json::json!({
        "server": server, "certificate-authority-data": STANDARD.encode(&root),
    });
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "admin"}}],
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
    });
    write_secret(&folder.join("kubeconfig"), &kubeconfig.to_string())
}

/// Writes a file that its owner alone may read: each of these makes an administrator of the cluster.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One of an earlier run would keep its mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

fn named(name: &str, group: Option<&str>, addresses: &[&str]) -> Result<CertificateParams> {
    let addresses: Vec<String> = addresses.iter().map(|it| (*it).to_owned()).collect();
    let mut certificate = CertificateParams::new(addresses)?;
    certificate.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        certificate.distinguished_name.push(DnType::OrganizationName, group);
    }
    certificate.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_reads_what_makes_an_administrator() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        fs::write(folder.path().join("kubeconfig"), "of an earlier run").unwrap();
        fs::set_permissions(folder.path().join("kubeconfig"), Permissions::from_mode(0o644))
            .unwrap();
        write(folder.path(), "https://127.0.0.1:1", &["127.0.0.1"]).unwrap();
        for name in ["apiserver.key", "accounts.key", "kubeconfig"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
    }
}
