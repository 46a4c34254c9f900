//! What a browser is asked to forget at a sign-out.

use poem::http::{HeaderName, HeaderValue};
use serde::Deserialize;

/// The header that asks.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("clear-site-data");

/// A kind of data that a browser keeps of a site, and forgets when it is asked to by `Clear-Site-Data`
/// (W3C Clear Site Data, section 3.1): see
/// [`SessionsBuilder::clear_site_data`](crate::SessionsBuilder::clear_site_data).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SiteData {
    /// Pages and files that are kept to be shown again, also by going back.
    Cache,
    /// All cookies of the site and its subdomains, also of other applications. The session's own cookie is
    /// removed without this.
    Cookies,
    /// What scripts have stored, and service workers.
    Storage,
}

impl SiteData {
    fn directive(self) -> &'static str {
        match self {
            Self::Cache => "\"cache\"",
            Self::Cookies => "\"cookies\"",
            Self::Storage => "\"storage\"",
        }
    }

    /// The header's value, if there is anything to forget.
    pub(crate) fn value(kinds: &[Self]) -> Option<HeaderValue> {
        let directives: Vec<_> = kinds.iter().map(|kind| kind.directive()).collect();
        let value = HeaderValue::from_str(&directives.join(", "));
        (!kinds.is_empty()).then(|| value.expect("directives are visible ASCII"))
    }
}
