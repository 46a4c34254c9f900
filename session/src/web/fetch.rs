//! What a browser says about a request: whether it prefetches, asks for a permission, or sends it for another site.

use poem::{
    Request,
    http::{Method, header},
};

/// Whether the browser loads the page before its user asks for it (Fetch, "`Sec-Purpose`").
pub(crate) fn is_prefetch(req: &Request) -> bool {
    let purpose = req.headers().get("sec-purpose");
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
    let site = || req.headers().get("sec-fetch-site");
    !is_safe && site().is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
}
