//! Certificates for servers with TLS.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::servers::User;

/// An authority that issues certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Creates an authority that nobody trusts yet. Each has another name.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("authority {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// The certificate of the authority, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues the certificate of a server. The name is a host name or an IP address.
    pub fn issue(&self, name: &str) -> Certificate {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// The certificate of a server, and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    /// Writes the certificate and the key to the directory of a server. Only the server can read the key.
    pub(crate) fn write(&self, directory: &Path, user: Option<User>) -> io::Result<()> {
        for (file, text) in [
            (certificate_file(directory), &self.certificate),
            (key_file(directory), &self.key),
        ] {
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            if let Some(user) = user {
                chown(&file, Some(user.uid), Some(user.gid))?;
            }
        }
        Ok(())
    }
}

/// The file of a server's certificate.
pub(crate) fn certificate_file(directory: &Path) -> PathBuf {
    directory.join("server.crt")
}

/// The file of a server's key.
pub(crate) fn key_file(directory: &Path) -> PathBuf {
    directory.join("server.key")
}
