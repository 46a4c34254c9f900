//! The cookie that carries a session id, and the rules browsers hold it to.

use std::time::Duration;

use cookie::{Cookie, time};
use serde::Deserialize;

use crate::{clock::Timestamp, error::BuildError, id::SessionId};

/// No browser keeps a cookie longer: 400 days (RFC 6265bis, section 5.5).
const LONGEST_LIFE: Duration = Duration::from_hours(400 * 24);

/// How the cookie that carries the session id is set.
///
/// The defaults are the strict ones: `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`, no `Domain`, and so
/// the name `__Host-id`, which a browser accepts only from this very host over HTTPS (RFC 6265bis,
/// section 4.1.3.2). Settings that weaken it are called `insecure_…`.
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
#[allow(clippy::struct_excessive_bools)] // the cookie's attributes, which are so
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

/// Which requests from other sites carry the cookie (RFC 6265bis, section 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// None of them, not even a link to the page: for sites that nobody enters signed in.
    Strict,
    /// Links to the page, but no forms, frames or scripts.
    #[default]
    Lax,
    /// All of them, for pages that live in frames of other sites. Needs `Secure`.
    None,
}

impl Default for CookieConfig {
    /// The name says as little as possible (OWASP Session Management Cheat Sheet, "Session ID Name
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
    /// The defaults under another name, to which the prefix is added: see [`full_name`](Self::full_name).
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Sends the cookie to this domain and all below it, instead of to this host alone. Every host of the
    /// domain can then read and overwrite it.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sends the cookie to this path and all below it only. Default `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Which requests from other sites carry the cookie. Default [`SameSite::Lax`].
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Keeps one cookie for each top-level site that embeds this one (`Partitioned`).
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// Leaves out `Max-Age` and `Expires`: the browser forgets the cookie when it is closed. The session's
    /// timeouts hold all the same.
    #[must_use]
    pub fn browser_session(mut self) -> Self {
        self.browser_session = true;
        self
    }

    /// Leaves out `Secure`, so that the cookie also travels over plain HTTP, where anybody on the way can
    /// read it: for development.
    #[must_use]
    pub fn insecure_http(mut self) -> Self {
        self.secure = false;
        self
    }

    /// Leaves out `HttpOnly`, so that scripts, also injected ones, can read the id.
    #[must_use]
    pub fn insecure_script_access(mut self) -> Self {
        self.http_only = false;
        self
    }

    /// The cookie's name with the prefix that its attributes allow: `__Host-` for a secure cookie of one
    /// host and all its paths, `__Secure-` for another secure one, none otherwise.
    pub fn full_name(&self) -> String {
        let prefix = match (self.secure, &self.domain, self.path.as_str()) {
            (true, None, "/") => "__Host-",
            (true, ..) => "__Secure-",
            (false, ..) => "",
        };
        format!("{prefix}{}", self.name)
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

    /// The value of `Set-Cookie` that gives the client its id.
    pub(crate) fn set_id(
        &self,
        full_name: &str,
        id: &SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> String {
        let mut cookie = self.base(full_name, id.expose());
        if !self.browser_session {
            let life = expires_at.saturating_since(now).min(LONGEST_LIFE).as_secs();
            let life = time::Duration::seconds(i64::try_from(life).expect("at most 400 days"));
            let now = i64::try_from(now.as_millis() / 1000).unwrap_or(i64::MAX);
            cookie.set_max_age(life);
            // An end beyond the year 9999 is left to Max-Age.
            let now = time::OffsetDateTime::from_unix_timestamp(now).ok();
            if let Some(end) = now.and_then(|now| now.checked_add(life)) {
                cookie.set_expires(end);
            }
        }
        cookie.to_string()
    }

    /// The value of `Set-Cookie` that makes the client forget its id: the same attributes, or the browser
    /// would keep it.
    pub(crate) fn clear_id(&self, full_name: &str) -> String {
        let mut cookie = self.base(full_name, "");
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        cookie.to_string()
    }

    fn base<'a>(&'a self, name: &'a str, value: &'a str) -> Cookie<'a> {
        let mut cookie = Cookie::new(name, value);
        cookie.set_secure(self.secure);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(match self.same_site {
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::None => cookie::SameSite::None,
        });
        cookie.set_path(&*self.path);
        if let Some(domain) = &self.domain {
            cookie.set_domain(&**domain);
        }
        if self.partitioned {
            cookie.set_partitioned(true);
        }
        cookie
    }
}

/// The first well-formed id that a `Cookie` header holds under `name`, which is compared to the letter.
///
/// Around it, only what is space to browsers as well is left out. They protect `__Host-id`, but let any
/// neighbouring host set `\u{2003}__Host-id`: a parser that trims all that Unicode calls space, as that of
/// `cookie` does, would take the one for the other.
pub(crate) fn find_id(header: &[u8], name: &str) -> Option<SessionId> {
    header
        .split(|byte| *byte == b';')
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (given, value) = (&pair[..equals], &pair[equals + 1..]);
            (given.trim_ascii() == name.as_bytes()).then(|| unquoted(value.trim_ascii()))
        })
        .find_map(|value| SessionId::parse(value).ok())
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_attribute_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn issued(config: &CookieConfig) -> (SessionId, String) {
        let id = SessionId::random();
        let end = NOW.saturating_add(Duration::from_secs(90));
        (id, config.set_id(&config.full_name(), &id, end, NOW))
    }

    #[test]
    fn the_default_cookie_is_strict() {
        let (id, cookie) = issued(&CookieConfig::default());
        assert_eq!(
            cookie,
            format!(
                "__Host-id={}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=90; Expires=Tue, 14 Nov 2023 22:14:50 GMT",
                id.expose()
            )
        );
    }

    #[test]
    fn withdrawing_names_the_same_attributes() {
        let config = CookieConfig::new("sid")
            .domain("example.com")
            .path("/app")
            .partitioned();
        let removal = config.clear_id(&config.full_name());
        for part in [
            "__Secure-sid=;",
            "Domain=example.com",
            "Path=/app",
            "Secure",
            "Partitioned",
            "Max-Age=0",
        ] {
            assert!(removal.contains(part), "{removal} lacks {part}");
        }
    }

    #[test]
    fn a_browser_session_has_no_end() {
        let (_, cookie) = issued(&CookieConfig::default().browser_session());
        assert!(!cookie.contains("Max-Age") && !cookie.contains("Expires"));
    }

    #[test]
    fn no_cookie_outlives_400_days() {
        let config = CookieConfig::default();
        let cookie = config.set_id(
            "id",
            &SessionId::random(),
            Timestamp::from_millis(u64::MAX),
            NOW,
        );
        assert!(cookie.contains("Max-Age=34560000;"), "{cookie}");
    }

    #[test]
    fn an_end_that_no_date_can_say_is_left_to_max_age() {
        // The last second of the year 9999, and the end of representable time.
        for now in [253_402_300_799_000, u64::MAX - 90_000] {
            let now = Timestamp::from_millis(now);
            let end = now.saturating_add(Duration::from_secs(90));
            let config = CookieConfig::default();
            let cookie = config.set_id("id", &SessionId::random(), end, now);
            assert!(cookie.ends_with("Max-Age=90"), "{cookie}");
        }
    }

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
        ] {
            assert_eq!(config.check(), Ok(()));
        }
    }

    #[test]
    fn ids_are_found_in_any_company() {
        let id = SessionId::random();
        let found = |header: &str| find_id(header.as_bytes(), "__Host-id");
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
        assert_eq!(find_id(&not_text, "__Host-id"), Some(id));
    }

    #[test]
    fn a_name_that_only_looks_protected_is_another_name() {
        let id = SessionId::random();
        for space in [
            "\u{85}", "\u{a0}", "\u{2000}", "\u{2003}", "\u{2028}", "\u{3000}",
        ] {
            for header in [
                format!("{space}__Host-id={}", id.expose()),
                format!("__Host-id{space}={}", id.expose()),
                format!("__Host-id={space}{}", id.expose()),
            ] {
                assert_eq!(find_id(header.as_bytes(), "__Host-id"), None, "{header:?}");
            }
        }
    }
}
