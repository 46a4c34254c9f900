//! TLS with rustls.

#[cfg(any(feature = "postgres-tls", feature = "mysql-tls"))]
use std::io;

use rustls::crypto::{CryptoProvider, ring};

/// Installs the process-wide cryptography provider that `rustls` needs, unless the application has chosen one.
///
/// The clients of the stores ask for it, and `rustls` panics if there is none and the application's crates enable
/// several.
pub(super) fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // This fails if another thread has installed a provider meanwhile, which works as well.
        let _ = ring::default_provider().install_default();
    }
}

/// Returns why the client has refused the server's certificate, if the error means that. The text shows no name of a
/// host. `parameter` is the parameter of the URL that names the certificate of an authority.
#[cfg(any(feature = "postgres-tls", feature = "mysql-tls"))]
pub(super) fn refused_certificate(error: &io::Error, parameter: &str) -> Option<String> {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext, UnknownIssuer,
    };

    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(reason) = error else {
        return None;
    };
    Some(match reason {
        // Another authority may have the name of a trusted one.
        UnknownIssuer | BadSignature => format!(
            "the server's certificate is from an authority that is not trusted; `{parameter}` in the URL names the \
             certificate of an authority to trust"
        ),
        NotValidForName | NotValidForNameContext { .. } => {
            "the server's certificate is for another name than the URL's host".into()
        }
        Expired | ExpiredContext { .. } => "the server's certificate has expired".into(),
        NotValidYet | NotValidYetContext { .. } => {
            "the server's certificate is not valid yet".into()
        }
        reason => format!("the server's certificate is invalid: {reason}"),
    })
}
