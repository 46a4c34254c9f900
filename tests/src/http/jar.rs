//! Cookies as a browser keeps them: RFC 6265bis, sections 5.6 to 5.8, as far as tests of a session
//! library can tell a difference. Loopback counts as a secure connection, as it does in browsers.

use std::time::{Duration, Instant, SystemTime};

use cookie::Cookie;

#[derive(Clone, Debug, Default)]
pub(super) struct Jar {
    kept: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    cookie: Cookie<'static>,
    domain: String,
    /// The cookie named no domain: subdomains do not get it.
    host_only: bool,
    path: String,
    until: Option<Instant>,
}

impl Jar {
    /// Takes a cookie that `host` set in its answer to a request for `path`; drops it silently where
    /// a browser would.
    pub(super) fn keep(&mut self, host: &str, path: &str, cookie: Cookie<'static>) {
        let host = name_of(host);
        let domain = cookie.domain().map(str::to_ascii_lowercase);
        let path = match cookie.path() {
            Some(path) if path.starts_with('/') => path.to_owned(),
            _ => default_path(path).to_owned(),
        };
        if !prefix_allows(&cookie) || domain.as_deref().is_some_and(|domain| !is_in(host, domain)) {
            return;
        }
        let host_only = domain.is_none();
        let domain = domain.unwrap_or_else(|| host.to_owned());
        self.kept.retain(|kept| {
            kept.cookie.name() != cookie.name() || kept.domain != domain || kept.path != path
        });
        let lifetime = lifetime(&cookie);
        if lifetime.is_none_or(|lifetime| !lifetime.is_zero()) {
            let until = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
            self.kept.push(Kept {
                cookie,
                domain,
                host_only,
                path,
                until,
            });
        }
    }

    /// Names and values for a request, longer paths first.
    pub(super) fn matching(&mut self, host: &str, path: &str) -> Vec<(String, String)> {
        let now = Instant::now();
        self.kept
            .retain(|kept| kept.until.is_none_or(|until| now < until));
        let host = name_of(host);
        let mut found: Vec<&Kept> = self
            .kept
            .iter()
            .filter(|kept| {
                if kept.host_only {
                    kept.domain == host
                } else {
                    is_in(host, &kept.domain)
                }
            })
            .filter(|kept| path_matches(path, &kept.path))
            .collect();
        found.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pair = |kept: &Kept| {
            (
                kept.cookie.name().to_owned(),
                kept.cookie.value().to_owned(),
            )
        };
        found.into_iter().map(pair).collect()
    }

    pub(super) fn all(&self) -> Vec<Cookie<'static>> {
        self.kept.iter().map(|kept| kept.cookie.clone()).collect()
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_in(host: &str, domain: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|subdomain| subdomain.ends_with('.'))
}

fn path_matches(request: &str, cookie: &str) -> bool {
    let request = request.split('?').next().unwrap_or_default();
    match request.strip_prefix(cookie) {
        Some(rest) => rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// The directory of a request's path, for cookies that name no path.
fn default_path(request: &str) -> &str {
    let path = request.split('?').next().unwrap_or_default();
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

fn prefix_allows(cookie: &Cookie<'_>) -> bool {
    let secure = cookie.secure() == Some(true);
    if cookie.name().starts_with("__Host-") {
        return secure && cookie.path() == Some("/") && cookie.domain().is_none();
    }
    secure || !cookie.name().starts_with("__Secure-")
}

/// How long to keep it: until the browser closes if `None`, not at all if zero. `Max-Age` wins over
/// `Expires`.
fn lifetime(cookie: &Cookie<'_>) -> Option<Duration> {
    if let Some(age) = cookie.max_age() {
        return Some(age.try_into().unwrap_or_default());
    }
    let expires = SystemTime::from(cookie.expires_datetime()?);
    Some(
        expires
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(set: &[(&str, &str, &str)]) -> Jar {
        let mut jar = Jar::default();
        for (host, path, cookie) in set {
            jar.keep(host, path, Cookie::parse((*cookie).to_owned()).unwrap());
        }
        jar
    }

    fn sent(jar: &mut Jar, host: &str, path: &str) -> String {
        let pairs = jar
            .matching(host, path)
            .into_iter()
            .map(|(name, value)| name + "=" + &value);
        pairs.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_alone_unless_it_names_a_domain() {
        let mut jar = jar(&[
            ("a.test:80", "/", "one=1"),
            ("a.test", "/", "all=2; Domain=a.test"),
        ]);
        assert_eq!(sent(&mut jar, "a.test:81", "/"), "one=1; all=2");
        assert_eq!(sent(&mut jar, "sub.a.test", "/"), "all=2");
        assert_eq!(sent(&mut jar, "nota.test", "/"), "");
    }

    #[test]
    fn a_cookie_for_a_foreign_domain_is_dropped() {
        assert!(
            jar(&[("a.test", "/", "x=1; Domain=b.test")])
                .all()
                .is_empty()
        );
    }

    #[test]
    fn paths_limit_where_a_cookie_goes() {
        let mut jar = jar(&[
            ("a", "/shop/cart", "deep=1"),
            ("a", "/", "wide=2"),
            ("a", "/", "named=3; Path=/shop"),
        ]);
        assert_eq!(
            sent(&mut jar, "a", "/shop/x?y=/z"),
            "deep=1; named=3; wide=2"
        );
        assert_eq!(sent(&mut jar, "a", "/shopping"), "wide=2");
    }

    #[test]
    fn a_later_cookie_replaces_an_earlier_one_and_no_lifetime_removes_it() {
        let mut jar = jar(&[
            ("a", "/", "x=1; Path=/"),
            ("a", "/", "x=2; Path=/; Max-Age=60"),
        ]);
        assert_eq!(sent(&mut jar, "a", "/"), "x=2");
        jar.keep("a", "/", Cookie::parse("x=; Path=/; Max-Age=0").unwrap());
        assert_eq!(sent(&mut jar, "a", "/"), "");
        jar.keep(
            "a",
            "/",
            Cookie::parse("x=3; Expires=Thu, 01 Jan 1970 00:00:00 GMT").unwrap(),
        );
        assert_eq!(sent(&mut jar, "a", "/"), "");
    }

    #[test]
    fn a_removal_with_another_path_removes_nothing() {
        let mut jar = jar(&[
            ("a", "/", "x=1; Path=/"),
            ("a", "/", "x=; Path=/b; Max-Age=0"),
        ]);
        assert_eq!(sent(&mut jar, "a", "/"), "x=1");
    }

    #[test]
    fn a_cookie_that_breaks_the_promise_of_its_name_is_dropped() {
        let kept = jar(&[
            ("a", "/", "__Host-a=1; Secure; Path=/"),
            ("a", "/", "__Host-b=1; Path=/"),
            ("a", "/", "__Host-c=1; Secure; Path=/x"),
            ("a", "/", "__Host-d=1; Secure; Path=/; Domain=a"),
            ("a", "/", "__Secure-e=1"),
            ("a", "/", "__Secure-f=1; Secure"),
        ])
        .all();
        let names: Vec<&str> = kept.iter().map(Cookie::name).collect();
        assert_eq!(names, ["__Host-a", "__Secure-f"]);
    }
}
