//! [`IdSource`]: a source of the session id in a request.

use std::{any::Any, fmt, sync::Arc};

use serde::Deserialize;

/// A source of the session id in a request.
///
/// A request can bring several ids: two cookies of one name, from a parent domain or another path, or ids in
/// several sources of a chain. The first one whose session is live is used. At most four different well-formed
/// ids are looked up, each with one call of the store.
///
/// A new id is sent back only in a cookie or a header: the one whose id was used. All other sources are read-only,
/// and an id from a read-only source is never put into a cookie or a header. A handler that begins or regenerates a
/// session whose client has its id from a read-only source must return the new id itself,
/// for example in the body of the response to a sign-in: [`Session::id`](crate::Session::id). If the handler does
/// not read it, a warning is logged, because nobody can use the session. With read-only sources alone,
/// [`rotate_every`](crate::SessionConfig::rotate_every) is refused when the sessions are built.
///
/// From a serde source: `"cookie"`, `{ "header" = "X-Session-Id" }`, `{ "chain" = ["cookie", …] }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdSource {
    /// The cookie of [`CookieConfig`](crate::CookieConfig). The default.
    Cookie,
    /// A header of the request. The response has a header of the same name, which is empty if the session has
    /// ended.
    Header(String),
    /// The `Authorization` header with this scheme, such as `Bearer`. The scheme is compared without regard to
    /// case and followed by exactly one space and a token68 (RFC 9110, section 11.4). A repeated header is
    /// ignored. Read-only.
    Authorization(String),
    /// A parameter of the query. Ids in URLs end up in logs and in `Referer`, so ASVS 5.0 14.2.1 advises
    /// against it. Read-only.
    Query(String),
    /// A parameter of the route's path, `:name`. The same advice applies. Read-only.
    Path(String),
    /// A field of a form (`application/x-www-form-urlencoded`) of at most 64 KiB with a `Content-Length`. The
    /// handler can still read the body. If the body breaks off, no id is found, and the handler gets the error when
    /// it reads the body. Read-only.
    Form(String),
    /// A function of the application: see [`IdSource::custom`]. Read-only.
    #[serde(skip)]
    Custom(CustomIdSource),
    /// Several sources, in order. The first id whose session is live is used, so an expired cookie does not hide a
    /// live id in a header.
    Chain(Vec<IdSource>),
}

/// A function that finds an id: see [`IdSource::custom`].
///
/// The framework layer knows its type.
#[derive(Clone)]
pub struct CustomIdSource(Arc<dyn Any + Send + Sync>);

impl CustomIdSource {
    pub(crate) fn new(find: impl Any + Send + Sync) -> Self {
        Self(Arc::new(find))
    }

    pub(crate) fn get<F: Any>(&self) -> &F {
        let find = self.0.downcast_ref();
        find.expect("one framework layer makes and calls the function")
    }
}

impl fmt::Debug for CustomIdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomIdSource")
    }
}
