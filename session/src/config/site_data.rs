//! [`SiteData`]: the data that a browser is asked to clear at a sign-out.

use serde::Deserialize;

/// A kind of data that a browser stores for a site, and clears when a response has a `Clear-Site-Data` header
/// (W3C Clear Site Data, section 3.1): see
/// [`SessionConfig::clear_site_data`](crate::SessionConfig::clear_site_data).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SiteData {
    /// Cached pages and files, also those of the back button.
    Cache,
    /// All cookies of the site and its subdomains, also those of other applications. The session cookie is
    /// removed without this.
    Cookies,
    /// The storage of scripts, and service workers.
    Storage,
}

impl SiteData {
    /// The value of the header, if there is anything to clear.
    pub(crate) fn header_value(kinds: &[Self]) -> Option<String> {
        let directives: Vec<_> = kinds.iter().map(|kind| kind.directive()).collect();
        (!kinds.is_empty()).then(|| directives.join(", "))
    }

    fn directive(self) -> &'static str {
        match self {
            Self::Cache => "\"cache\"",
            Self::Cookies => "\"cookies\"",
            Self::Storage => "\"storage\"",
        }
    }
}
