//! The stylesheet and the icon. They are the same for everybody, so they are outside the session middleware, and
//! caches may store them.

use std::sync::LazyLock;

use poem::{IntoResponse, handler, http::header};

const STYLE: &str = include_str!("style.css");

/// The URL of the stylesheet. It changes with the content, so a browser can cache the stylesheet forever.
pub(crate) static STYLE_URL: LazyLock<String> =
    LazyLock::new(|| format!("/style.css?v={:016x}", fingerprint(STYLE)));

/// `GET /style.css`
#[handler]
pub(crate) fn style() -> impl IntoResponse {
    STYLE
        .with_content_type("text/css; charset=utf-8")
        .with_header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
}

/// `GET /favicon.svg`
#[handler]
pub(crate) fn icon() -> impl IntoResponse {
    include_str!("pictures/nib.svg")
        .with_content_type("image/svg+xml")
        .with_header(header::CACHE_CONTROL, "public, max-age=86400")
}

/// The 64-bit FNV-1a hash, which distinguishes versions of a file. It is not cryptographic.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
