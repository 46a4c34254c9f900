//! Where a request carries its session id.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use poem::{
    Body, Request,
    http::{HeaderMap, HeaderName, header},
};
use serde::Deserialize;

use crate::{
    active::{Found, FoundIn},
    cookie::{self, is_token_byte},
    error::BuildError,
    id::SessionId,
};

/// Where a request carries its session id.
///
/// Only a cookie and a header are also answered: a new id goes back on the one that the request used. The
/// others are read only, and an id that came by one of them is never put into a cookie or a header.
///
/// From a serde source: `"cookie"`, `{ "header" = "X-Session-Id" }`, `{ "chain" = ["cookie", …] }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdSource {
    /// The cookie of [`CookieConfig`](crate::CookieConfig). The default.
    Cookie,
    /// A header of the request. The answer carries a header of the same name, empty when the session has
    /// ended.
    Header(String),
    /// The `Authorization` header with this scheme, as in `Bearer`: compared without regard to case,
    /// followed by exactly one space and a token68 (RFC 9110, section 11.4). A repeated header counts as
    /// none. Read only.
    Authorization(String),
    /// A parameter of the query. Ids in addresses end up in logs and in `Referer`: ASVS 5.0 14.2.1 advises
    /// against. Read only.
    Query(String),
    /// A parameter of the route's path, `:name`. As with the query. Read only.
    Path(String),
    /// A field of a form (`application/x-www-form-urlencoded`) of at most 64 KiB that says its length. The
    /// handler can read the body all the same. Read only.
    Form(String),
    /// A function of your own: see [`IdSource::custom`]. Read only.
    #[serde(skip)]
    Custom(Custom),
    /// Each in turn until one finds a well-formed id.
    Chain(Vec<IdSource>),
}

/// A function that finds an id: see [`IdSource::custom`].
#[derive(Clone)]
pub struct Custom(Arc<FindId>);

type FindId = dyn Fn(&Request) -> Option<String> + Send + Sync;

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

impl IdSource {
    /// A function of your own that finds the id. What it returns is checked as any other id is.
    pub fn custom(find: impl Fn(&Request) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::Custom(Custom(Arc::new(find)))
    }
}

/// Headers of which an answer that carries a session id would be another answer, or none.
const SPOKEN_FOR: [HeaderName; 16] = [
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::ETAG,
    header::HOST,
    header::LOCATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// How much of a form is read.
const FORM_LIMIT: u64 = 64 * 1024;

/// The sources of an application, in order, checked and ready.
pub(crate) struct Sources(Vec<Source>);

pub(crate) enum Source {
    Cookie,
    Header(HeaderName),
    Authorization(String),
    Query(String),
    Path(String),
    Form(String),
    Custom(Custom),
}

impl Sources {
    pub(crate) fn new(sources: Vec<IdSource>) -> Result<Self, BuildError> {
        let mut flat = Vec::new();
        flatten(sources, &mut flat)?;
        if flat.is_empty() {
            return invalid("id_from", "must name at least one source");
        }
        Ok(Self(flat))
    }

    /// The first well-formed id of the request, whose form has been [read](read_form).
    pub(crate) fn find(
        &self,
        req: &Request,
        form: Option<&[u8]>,
        cookie_name: &str,
    ) -> Option<Found> {
        let mut numbered = self.0.iter().enumerate();
        numbered.find_map(|(number, source)| {
            let answered = source.is_answered();
            source.find(req, form, cookie_name).map(|id| Found {
                id,
                source: FoundIn { number, answered },
            })
        })
    }

    /// Whether a request's form is to be read, before the handler takes the body.
    pub(crate) fn read_forms(&self) -> bool {
        self.0
            .iter()
            .any(|source| matches!(source, Source::Form(_)))
    }

    /// The source with this number, if it can carry an answer.
    pub(crate) fn carrier(&self, number: usize) -> Option<&Source> {
        self.0.get(number).filter(|source| source.is_answered())
    }

    /// The first source that can carry an answer.
    pub(crate) fn first_carrier(&self) -> Option<&Source> {
        self.0.iter().find(|source| source.is_answered())
    }
}

fn invalid<T>(setting: &'static str, why: &'static str) -> Result<T, BuildError> {
    Err(BuildError::Invalid { setting, why })
}

fn flatten(sources: Vec<IdSource>, flat: &mut Vec<Source>) -> Result<(), BuildError> {
    for source in sources {
        flat.push(match source {
            IdSource::Chain(sources) => {
                flatten(sources, flat)?;
                continue;
            }
            IdSource::Cookie => Source::Cookie,
            IdSource::Header(name) => match HeaderName::try_from(name) {
                Ok(header::COOKIE | header::SET_COOKIE | header::AUTHORIZATION) => {
                    return invalid("id_from header", "must not be Cookie, Set-Cookie or Authorization: those have sources of their own");
                }
                Ok(name) if SPOKEN_FOR.contains(&name) => {
                    return invalid("id_from header", "must not be a header that HTTP gives a meaning to, since the answer carries the id under that name too");
                }
                Ok(name) => Source::Header(name),
                Err(_) => return invalid("id_from header", "must be the name of a header"),
            },
            IdSource::Authorization(scheme) => {
                if scheme.is_empty() || !scheme.bytes().all(is_token_byte) {
                    return invalid("id_from authorization", "must be a scheme such as `Bearer`");
                }
                Source::Authorization(scheme)
            }
            IdSource::Query(name) => Source::Query(named(name, "id_from query")?),
            IdSource::Path(name) => Source::Path(named(name, "id_from path")?),
            IdSource::Form(name) => Source::Form(named(name, "id_from form")?),
            IdSource::Custom(find) => Source::Custom(find),
        });
    }
    Ok(())
}

fn named(name: String, setting: &'static str) -> Result<String, BuildError> {
    if name.is_empty() {
        return invalid(setting, "must have a name");
    }
    Ok(name)
}

impl Source {
    fn is_answered(&self) -> bool {
        matches!(self, Self::Cookie | Self::Header(_))
    }

    fn find(&self, req: &Request, form: Option<&[u8]>, cookie_name: &str) -> Option<SessionId> {
        match self {
            Self::Cookie => req
                .headers()
                .get_all(header::COOKIE)
                .iter()
                .find_map(|header| cookie::find_id(header.as_bytes(), cookie_name)),
            Self::Header(name) => SessionId::parse(req.headers().get(name)?).ok(),
            Self::Authorization(scheme) => in_authorization(req.headers(), scheme),
            Self::Query(name) => in_pairs(req.uri().query()?.as_bytes(), name),
            Self::Path(name) => SessionId::parse(req.raw_path_param(name)?).ok(),
            Self::Custom(find) => SessionId::parse((find.0)(req)?).ok(),
            Self::Form(name) => in_pairs(form?, name),
        }
    }
}

fn in_authorization(headers: &HeaderMap, scheme: &str) -> Option<SessionId> {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (credentials.next()?, credentials.next()) else {
        return None;
    };
    let (given, token) = only.to_str().ok()?.split_once(' ')?;
    // An id's characters are fewer than token68's, and no space is among them.
    given
        .eq_ignore_ascii_case(scheme)
        .then(|| SessionId::parse(token).ok())?
}

fn in_pairs(encoded: &[u8], name: &str) -> Option<SessionId> {
    form_urlencoded::parse(encoded)
        .filter(|(key, _)| key == name)
        .find_map(|(_, value)| SessionId::parse(&*value).ok())
}

/// Reads the form that a request carries, and leaves it to be read again.
pub(crate) async fn read_form(req: &mut Request) -> Option<Bytes> {
    let is_form = req
        .content_type()
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    let length: Option<u64> = req
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    // Without a length in bounds it could not be read and put back.
    if !is_form || length.is_none_or(|length| length > FORM_LIMIT) {
        return None;
    }
    let limit = usize::try_from(FORM_LIMIT).ok()?;
    let bytes = req.take_body().into_bytes_limit(limit).await;
    // A body that broke off is broken for the handler as well: it finds an empty one.
    let bytes = bytes.unwrap_or_default();
    req.set_body(Body::from_bytes(bytes.clone()));
    Some(bytes)
}
