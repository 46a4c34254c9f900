//! The headers by which caches treat a response: `Vary`, and `Cache-Control` beside a session id.

use poem::http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{self, Entry},
};

use crate::web::source::{Source, Sources};

/// The request headers that can carry an id, as a list for `Vary`. A response that was made from the session must
/// not be the response to a request with another id (RFC 9110, section 12.5.5).
#[derive(Debug)]
pub(crate) struct Vary {
    names: Vec<String>,
    /// All names in one list. `None` if no header carries an id: a cache tells requests apart by the rest.
    all: Option<HeaderValue>,
}

impl Vary {
    pub(crate) fn new(sources: &Sources) -> Self {
        let mut names: Vec<String> = Vec::new();
        for source in sources.iter() {
            let name = match source {
                Source::Cookie => "Cookie",
                Source::Header(name) => name.as_str(),
                Source::Authorization(_) => "Authorization",
                // The function may look at any part of the request.
                Source::Custom(_) => "*",
                Source::Query(_) | Source::Path(_) | Source::Form(_) => continue,
            };
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        if names.iter().any(|name| name == "*") {
            names = vec!["*".into()];
        }
        let all = match names.as_slice() {
            [] => None,
            // By far the most usual list, without a reference count that all requests share.
            [cookie] if cookie == "Cookie" => Some(HeaderValue::from_static("Cookie")),
            names => Some(list(names)),
        };
        Self { names, all }
    }

    /// Adds the names to the `Vary` header of a response.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        let Some(all) = &self.all else {
            return;
        };
        if let Entry::Vacant(vacant) = headers.entry(header::VARY) {
            vacant.insert(all.clone());
            return;
        }
        let mut merged: Vec<String> = Vec::new();
        for line in headers.get_all(header::VARY) {
            let line = String::from_utf8_lossy(line.as_bytes());
            merged.extend(line.split(',').map(|name| name.trim().to_owned()));
        }
        if all == "*" {
            headers.insert(header::VARY, all.clone());
            return;
        }
        if merged.iter().any(|name| name == "*") {
            return;
        }
        let own = self.names.iter();
        let missing =
            own.filter(|name| !merged.iter().any(|known| known.eq_ignore_ascii_case(name)));
        let missing: Vec<_> = missing.cloned().collect();
        if !missing.is_empty() {
            merged.extend(missing);
            headers.insert(header::VARY, list(&merged));
        }
    }
}

fn list(names: &[String]) -> HeaderValue {
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("*"))
}

/// Keeps a response with an id out of shared caches, which would give the id to other visitors (ASVS 5.0 14.3.2).
///
/// The response is `no-store`, unless the handler has chosen `private` or `no-store`. The headers that content
/// delivery networks obey in place of `Cache-Control` are removed (RFC 9213, section 3).
pub(crate) fn forbid_sharing(headers: &mut HeaderMap) {
    if !is_kept_private(headers) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let targeted = |name: &&HeaderName| {
        name.as_str() == "surrogate-control" || name.as_str().ends_with("cdn-cache-control")
    };
    let targeted: Vec<_> = headers.keys().filter(targeted).cloned().collect();
    for name in targeted {
        headers.remove(name);
    }
}

/// Whether the response says that no shared cache may store it, and nothing that contradicts this.
fn is_kept_private(headers: &HeaderMap) -> bool {
    let mut is_private = false;
    for line in headers.get_all(header::CACHE_CONTROL) {
        let line = String::from_utf8_lossy(line.as_bytes());
        for directive in directives(&line) {
            let (name, _) = directive.split_once('=').unwrap_or((directive, ""));
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("public") || is("s-maxage") {
                return false;
            }
            // `private="set-cookie"` keeps one header out of shared caches, and not the response (RFC 9111, section
            // 5.2.2.7).
            is_private |= directive == name && (is("private") || is("no-store"));
        }
    }
    is_private
}

/// The directives of a `Cache-Control` header. A comma in a quoted text does not separate them.
fn directives(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = line.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    parts.map(str::trim)
}

/// Whether caches store a response with this status although no header of it says so (RFC 9110, section 15.1).
pub(crate) fn are_stored_by_default(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}
