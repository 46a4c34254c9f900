//! Reads the headers by which browsers and proxies describe a request: whether it is a prefetch or a preflight,
//! whether another site sends it, and whether the client used plain HTTP.

use poem::{
    Request,
    http::{HeaderMap, HeaderName, Method, header, uri::Scheme},
};

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether the browser loads the page before its user asks for it (Fetch, "`Sec-Purpose`").
pub(crate) fn is_prefetch(req: &Request) -> bool {
    let purpose = req.headers().get(SEC_PURPOSE);
    let purpose = purpose.and_then(|purpose| purpose.to_str().ok());
    // The value is a token with parameters, such as `prefetch;prerender`.
    let token = purpose.and_then(|purpose| purpose.split([';', ',']).next());
    token.is_some_and(|token| token.trim().eq_ignore_ascii_case("prefetch"))
}

/// Whether the browser asks if a script of another origin may send a request (Fetch, "CORS-preflight request").
pub(crate) fn is_preflight(req: &Request) -> bool {
    let headers = req.headers();
    req.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether another site sends the request with an unsafe method, as a form of that site does (Fetch Metadata,
/// section 2.3; RFC 9110, section 9.2.1).
pub(crate) fn is_cross_site_change(req: &Request) -> bool {
    let is_safe = matches!(
        *req.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    );
    let site = || req.headers().get(SEC_FETCH_SITE);
    !is_safe && site().is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
}

/// Whether the client has sent the request over plain HTTP, as far as this server and a proxy in front of it tell.
pub(crate) fn is_plain_http(req: &Request) -> bool {
    *req.scheme() != Scheme::HTTPS && !is_forwarded_from_https(req.headers())
}

/// Whether a proxy in front has received the request over HTTPS. The first entry of each header is that of the
/// proxy that the client talks to.
fn is_forwarded_from_https(headers: &HeaderMap) -> bool {
    let first = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next()
    };
    let is_https = |scheme: &str| {
        scheme
            .trim()
            .trim_matches('"')
            .eq_ignore_ascii_case("https")
    };
    // RFC 7239, section 5.4: `Forwarded: for=192.0.2.43;proto=https`.
    let in_forwarded = |entry: &str| {
        let mut pairs = entry.split(';').filter_map(|pair| pair.split_once('='));
        pairs.any(|(name, value)| name.trim().eq_ignore_ascii_case("proto") && is_https(value))
    };
    first(X_FORWARDED_PROTO).is_some_and(is_https)
        || first(header::FORWARDED).is_some_and(in_forwarded)
}
