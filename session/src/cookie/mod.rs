//! The cookie that carries a session id, and the rules that browsers apply to it.

mod set_cookie;

use memchr::{memchr, memchr_iter};
use serde::Deserialize;

pub(crate) use self::set_cookie::SetCookie;
use crate::{error::BuildError, id::SessionId};

/// The cookie that carries the session id.
///
/// The defaults are strict: `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/` and no `Domain`. The name is then
/// `__Host-id`, which a browser accepts only from this host over HTTPS (RFC 6265bis, section 4.1.3.2). Settings
/// that weaken the cookie are named `insecure_…`.
///
/// ```
/// use poem_session::{CookieConfig, SameSite};
///
/// let config = CookieConfig::new("sid").same_site(SameSite::Strict);
/// assert_eq!(config.full_name(), "__Host-sid");
/// assert_eq!(config.domain("example.com").full_name(), "__Secure-sid");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // the attributes of a cookie are flags
pub struct CookieConfig {
    name: String,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    domain: Option<String>,
    path: String,
    partitioned: bool,
    browser_session: bool,
}

/// The requests from other sites that carry the cookie (RFC 6265bis, section 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// No requests from other sites, not even links to the page. A visitor who follows such a link arrives without
    /// the session, and if its handler begins a new one, that replaces the session in the browser.
    Strict,
    /// Links to the page. Forms, frames and scripts of other sites do not carry it.
    #[default]
    Lax,
    /// All requests, for pages in frames of other sites. Requires `Secure`.
    None,
}

impl Default for CookieConfig {
    /// The name `id` does not show which library is used (OWASP Session Management Cheat Sheet, "Session ID Name
    /// Fingerprinting").
    fn default() -> Self {
        Self {
            name: "id".into(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            domain: None,
            path: "/".into(),
            partitioned: false,
            browser_session: false,
        }
    }
}

impl CookieConfig {
    /// Returns the defaults with another name. The prefix is added to it: see [`full_name`](Self::full_name).
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Sets `Domain`: browsers send the cookie to this domain and its subdomains, and not to this host alone. Every
    /// host of the domain can then read and overwrite the cookie.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets `Path`: browsers send the cookie to this path and the paths below it only. Default `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets `SameSite`. Default [`SameSite::Lax`].
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets `Partitioned`: browsers keep one cookie for each top-level site that embeds this one.
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// Leaves out `Max-Age` and `Expires`: the browser removes the cookie when it is closed. The timeouts of the
    /// session apply all the same.
    #[must_use]
    pub fn browser_session(mut self) -> Self {
        self.browser_session = true;
        self
    }

    /// Leaves out `Secure`, for development: browsers then also send the cookie over plain HTTP, where anyone on
    /// the network can read it.
    ///
    /// Over plain HTTP, browsers do not keep a `Secure` cookie, so a session is lost at the next request. On
    /// loopback (`http://localhost`, `http://127.0.0.1`), Chromium, Firefox and curl 7.88 keep it; Safari is
    /// reported not to (teamhanko/hanko issue 2471). The first request over plain HTTP that uses a session is
    /// logged as a warning. A request counts as HTTPS if Poem's listener is one for TLS, or a proxy says so by
    /// `X-Forwarded-Proto` or `Forwarded`.
    #[must_use]
    pub fn insecure_http(mut self) -> Self {
        self.secure = false;
        self
    }

    /// Leaves out `HttpOnly`: scripts can then read the id, including injected ones.
    #[must_use]
    pub fn insecure_script_access(mut self) -> Self {
        self.http_only = false;
        self
    }

    /// Returns the name with the prefix that the attributes allow: `__Host-` for a secure cookie of one host and
    /// all its paths, `__Secure-` for any other secure cookie, and none otherwise.
    pub fn full_name(&self) -> String {
        let prefix = match (self.secure, &self.domain, self.path.as_str()) {
            (true, None, "/") => "__Host-",
            (true, ..) => "__Secure-",
            (false, ..) => "",
        };
        format!("{prefix}{}", self.name)
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether browsers send the cookie with the requests of other sites.
    pub(crate) fn is_cross_site(&self) -> bool {
        self.same_site == SameSite::None
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let invalid = |setting, why| Err(BuildError::Invalid { setting, why });
        let clash = |first, second, why| Err(BuildError::Contradiction { first, second, why });
        if self.name.is_empty() || !self.name.bytes().all(is_token_byte) {
            return invalid(
                "cookie name",
                "must be a token: letters, digits and !#$%&'*+-.^_`|~ (RFC 6265, section 4.1.1)",
            );
        }
        let lower = self.name.to_ascii_lowercase();
        if lower.starts_with("__host-") || lower.starts_with("__secure-") {
            return invalid(
                "cookie name",
                "must not begin with `__Host-` or `__Secure-`: the prefix is added where the attributes allow it",
            );
        }
        if self.name.len() > 64 {
            return invalid("cookie name", "must not be longer than 64 characters");
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(is_attribute_byte) {
            return invalid(
                "cookie path",
                "must begin with `/` and hold no spaces, control characters or `;`",
            );
        }
        if let Some(domain) = &self.domain {
            let host = domain.strip_prefix('.').unwrap_or(domain);
            let labels_fit = host.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
            if !labels_fit {
                return invalid("cookie domain", "must be a host name such as `example.com`");
            }
        }
        if self.same_site == SameSite::None && !self.secure {
            return clash(
                "cookie same_site = none",
                "cookie insecure_http",
                "browsers refuse a cross-site cookie that is not Secure",
            );
        }
        if self.partitioned && !self.secure {
            return clash(
                "cookie partitioned",
                "cookie insecure_http",
                "browsers refuse a partitioned cookie that is not Secure",
            );
        }
        Ok(())
    }
}

/// Returns the well-formed ids under `name` in a `Cookie` header. A browser sends several if a parent domain or
/// another path has a cookie of the same name. The name is compared byte by byte.
///
/// Only ASCII whitespace around the name is trimmed, as browsers do. Browsers protect the name `__Host-id`, but
/// let any host of the domain set `\u{2003}__Host-id`. A parser that trims all Unicode whitespace, such as that
/// of the `cookie` crate, would take one name for the other.
pub(crate) fn find_ids(header: &[u8], name: &str) -> impl Iterator<Item = SessionId> {
    let mut ends = memchr_iter(b';', header);
    let mut rest = Some(header);
    let pairs = std::iter::from_fn(move || {
        let pairs = rest?;
        let before = header.len() - pairs.len();
        let (pair, after) = match ends.next() {
            Some(end) => (&pairs[..end - before], Some(&header[end + 1..])),
            None => (pairs, None),
        };
        rest = after;
        Some(pair)
    });
    pairs
        .filter_map(move |pair| {
            let equals = memchr(b'=', pair)?;
            let (given, value) = (&pair[..equals], &pair[equals + 1..]);
            (given.trim_ascii() == name.as_bytes()).then(|| unquoted(value.trim_ascii()))
        })
        .filter_map(|value| SessionId::parse(value).ok())
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// Whether a byte may be in a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_attribute_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let refused = |config: CookieConfig| config.check().unwrap_err().to_string();
        let plain = || CookieConfig::default().insecure_http();
        assert!(refused(plain().same_site(SameSite::None)).contains("insecure_http"));
        assert!(refused(plain().partitioned()).contains("partitioned"));
        for name in [
            "",
            "a b",
            "a=b",
            "__Host-id",
            "__secure-id",
            &"a".repeat(65),
        ] {
            assert!(refused(CookieConfig::new(name)).contains("name"), "{name}");
        }
        for path in ["", "app", "/a;b", "/a\n", "/a b", "/ "] {
            refused(CookieConfig::default().path(path));
        }
        for domain in ["", "a b", "example..com", "https://example.com"] {
            refused(CookieConfig::default().domain(domain));
        }
        for config in [
            CookieConfig::default().domain(".example.com"),
            CookieConfig::default().domain("my-shop.example.com"),
            CookieConfig::new("shop.id_1~"),
            CookieConfig::new("a".repeat(64)),
            CookieConfig::default().same_site(SameSite::None),
            CookieConfig::default().partitioned(),
            plain(),
        ] {
            assert_eq!(config.check(), Ok(()));
        }
    }

    #[test]
    fn ids_are_found_among_other_cookies() {
        let id = SessionId::random();
        let found = |header: &str| find_ids(header.as_bytes(), "__Host-id").next();
        assert_eq!(found(&format!("__Host-id={}", id.expose())), Some(id));
        assert_eq!(
            found(&format!(
                "a=b; x; =; __Host-id=short; __Host-id={}; c",
                id.expose()
            )),
            Some(id)
        );
        assert_eq!(found(&format!("__host-id={}", id.expose())), None);
        assert_eq!(found(&format!("__Host-id=\"{}\"", id.expose())), Some(id));
        assert_eq!(found(&format!(" __Host-id\t=  {} ", id.expose())), Some(id));
        assert_eq!(found(""), None);
        let not_text = [b"a=\xff; __Host-id=", id.expose().as_bytes()].concat();
        assert_eq!(find_ids(&not_text, "__Host-id").next(), Some(id));
        let (one, two) = (SessionId::random(), SessionId::random());
        let (one_text, two_text) = (one.expose(), two.expose());
        let both = format!("__Host-id={one_text}; __Host-id=x; a=b; __Host-id={two_text}");
        let all: Vec<_> = find_ids(both.as_bytes(), "__Host-id").collect();
        assert_eq!(all, [one, two]);
    }

    #[test]
    fn a_name_with_unicode_whitespace_is_another_name() {
        let id = SessionId::random();
        for space in [
            "\u{85}", "\u{a0}", "\u{2000}", "\u{2003}", "\u{2028}", "\u{3000}",
        ] {
            for header in [
                format!("{space}__Host-id={}", id.expose()),
                format!("__Host-id{space}={}", id.expose()),
                format!("__Host-id={space}{}", id.expose()),
            ] {
                let found = find_ids(header.as_bytes(), "__Host-id").next();
                assert_eq!(found, None, "{header:?}");
            }
        }
    }
}
