//! [`SetCookie`]: the values of the `Set-Cookie` header.

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use cookie::Cookie;
use httpdate::HttpDate;

use super::{CookieConfig, SameSite};
use crate::{clock::Timestamp, id::SessionId};

/// The longest lifetime of a cookie in a browser (RFC 6265bis, section 5.5).
const MAX_LIFETIME: Duration = Duration::from_hours(400 * 24);

/// The first second, since the Unix epoch, of the year 10,000, which a date in a header cannot name.
const END_OF_DATES: u64 = 253_402_300_800;

/// Makes the values of `Set-Cookie` for one cookie.
pub(crate) struct SetCookie {
    name: String,
    /// The attributes without the times, as they follow the value. Written once, as they are the same in all
    /// responses.
    attributes: String,
    browser_session: bool,
}

impl SetCookie {
    pub(crate) fn new(config: &CookieConfig) -> Self {
        let name = config.full_name();
        let empty = with_attributes(config, &name).to_string();
        let attributes = empty[name.len() + "=".len()..].to_owned();
        Self {
            name,
            attributes,
            browser_session: config.browser_session,
        }
    }

    /// The name of the cookie, with its prefix.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The value that sets the id.
    pub(crate) fn set_id(&self, id: &SessionId, expires_at: Timestamp, now: Timestamp) -> String {
        let seconds = expires_at.saturating_since(now).min(MAX_LIFETIME).as_secs();
        let end = now.as_millis() / 1000 + seconds;
        self.line(
            id.expose(),
            (!self.browser_session).then_some((seconds, end)),
        )
    }

    /// The value that clears the id. It names the same attributes, or the browser would keep the cookie.
    pub(crate) fn clear_id(&self) -> String {
        self.line("", Some((0, 0)))
    }

    /// The line for a value with a lifetime in seconds, and the second since the Unix epoch at which it ends.
    fn line(&self, value: &str, lifetime: Option<(u64, u64)>) -> String {
        let times = "; Max-Age=34560000; Expires=Thu, 01 Jan 1970 00:00:00 GMT".len();
        let len = self.name.len() + 1 + value.len() + self.attributes.len() + times;
        let mut line = String::with_capacity(len);
        line.push_str(&self.name);
        line.push('=');
        line.push_str(value);
        line.push_str(&self.attributes);
        if let Some((seconds, end)) = lifetime {
            write!(line, "; Max-Age={seconds}").expect("writing to memory");
            // A later date cannot be written, so only `Max-Age` is sent.
            if end < END_OF_DATES {
                let end = HttpDate::from(UNIX_EPOCH + Duration::from_secs(end));
                write!(line, "; Expires={end}").expect("writing to memory");
            }
        }
        line
    }
}

/// The cookie with an empty value and all attributes but the times.
fn with_attributes<'a>(config: &'a CookieConfig, name: &'a str) -> Cookie<'a> {
    let mut cookie = Cookie::new(name, "");
    cookie.set_secure(config.secure);
    cookie.set_http_only(config.http_only);
    cookie.set_same_site(match config.same_site {
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::None => cookie::SameSite::None,
    });
    cookie.set_path(&*config.path);
    if let Some(domain) = &config.domain {
        cookie.set_domain(&**domain);
    }
    if config.partitioned {
        cookie.set_partitioned(true);
    }
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn issued(config: &CookieConfig) -> (SessionId, String) {
        let id = SessionId::random();
        let end = NOW.saturating_add(Duration::from_secs(90));
        (id, SetCookie::new(config).set_id(&id, end, NOW))
    }

    /// Conformance 1.9, 1.17, 5.7
    #[test]
    fn a_cookie_is_set_and_cleared_with_the_same_attributes() {
        let strict = CookieConfig::default();
        let every = CookieConfig::new("sid")
            .domain("example.com")
            .path("/app")
            .same_site(SameSite::None)
            .partitioned();
        let open = CookieConfig::new("sid")
            .insecure_http()
            .insecure_script_access()
            .same_site(SameSite::Strict);
        for (config, name, attributes) in [
            (
                strict,
                "__Host-id",
                "HttpOnly; SameSite=Lax; Secure; Path=/",
            ),
            (
                every,
                "__Secure-sid",
                "HttpOnly; SameSite=None; Partitioned; Secure; Path=/app; Domain=example.com",
            ),
            (open, "sid", "SameSite=Strict; Path=/"),
        ] {
            let (id, cookie) = issued(&config);
            let life = "Max-Age=90; Expires=Tue, 14 Nov 2023 22:14:50 GMT";
            assert_eq!(
                cookie,
                format!("{name}={}; {attributes}; {life}", id.expose())
            );
            let life = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
            assert_eq!(
                SetCookie::new(&config).clear_id(),
                format!("{name}=; {attributes}; {life}")
            );
        }
    }

    #[test]
    fn a_browser_session_has_no_expiry() {
        let (_, cookie) = issued(&CookieConfig::default().browser_session());
        assert!(!cookie.contains("Max-Age") && !cookie.contains("Expires"));
    }

    #[test]
    fn no_cookie_lives_longer_than_400_days() {
        let id = SessionId::random();
        let end = Timestamp::from_millis(u64::MAX);
        let cookie = SetCookie::new(&CookieConfig::default()).set_id(&id, end, NOW);
        assert!(cookie.contains("Max-Age=34560000;"), "{cookie}");
    }

    #[test]
    fn a_date_after_the_year_9999_is_left_out() {
        // The last second of the year 9999, and 90 seconds before the end of representable time.
        for now in [253_402_300_799_000, u64::MAX - 90_000] {
            let now = Timestamp::from_millis(now);
            let end = now.saturating_add(Duration::from_secs(90));
            let id = SessionId::random();
            let cookie = SetCookie::new(&CookieConfig::default()).set_id(&id, end, now);
            assert!(cookie.ends_with("Max-Age=90"), "{cookie}");
        }
    }
}
