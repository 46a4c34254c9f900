//! Finds the session id in a request.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use poem::{
    Body, Request,
    error::ReadBodyError,
    http::{HeaderMap, HeaderName, header},
};
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    config::{CustomIdSource, IdSource},
    cookie::{self, is_token_byte},
    error::BuildError,
    id::SessionId,
    session::{Found, FoundIds},
};

/// A function of the application that finds an id.
type FindId = Box<dyn Fn(&Request) -> Option<String> + Send + Sync>;

impl IdSource {
    /// A function of the application that finds the id. The returned text is checked like any other id.
    pub fn custom(find: impl Fn(&Request) -> Option<String> + Send + Sync + 'static) -> Self {
        let find: FindId = Box::new(find);
        Self::Custom(CustomIdSource::new(find))
    }
}

/// Headers that have a meaning in HTTP, so that an id in one would change or break the response.
const RESERVED_HEADERS: [HeaderName; 16] = [
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

/// The largest form that is read, in bytes.
const FORM_LIMIT: u64 = 64 * 1024;

/// The id sources of an application, in order.
pub(crate) struct Sources(Vec<Source>);

pub(crate) enum Source {
    Cookie,
    Header(HeaderName),
    Authorization(String),
    Query(String),
    Path(String),
    Form(String),
    Custom(CustomIdSource),
}

impl Sources {
    pub(crate) fn new(sources: &[IdSource]) -> Result<Self, BuildError> {
        let mut flat = Vec::new();
        flatten(sources, &mut flat)?;
        if flat.is_empty() {
            return invalid("id_source", "must name at least one source");
        }
        Ok(Self(flat))
    }

    /// The well-formed ids of the request, in the order of the sources. `form` is the request's form, if
    /// [`read_form`] has read it.
    pub(crate) fn find(&self, req: &Request, form: Option<&[u8]>, cookie_name: &str) -> FoundIds {
        let mut found = FoundIds::default();
        for (index, source) in self.0.iter().enumerate() {
            source.find(req, form, cookie_name, |id| {
                found.push(Found { id, source: index });
            });
        }
        found
    }

    /// Whether an id may be found in the request. Only for cookies is it certain that there is none.
    pub(crate) fn may_find(&self, req: &Request) -> bool {
        let mut sources = self.0.iter();
        let only_cookies = sources.all(|source| matches!(source, Source::Cookie));
        !only_cookies || req.headers().contains_key(header::COOKIE)
    }

    /// Whether an id may be in a form, so that the form must be read before the handler takes the body.
    pub(crate) fn read_forms(&self) -> bool {
        self.0
            .iter()
            .any(|source| matches!(source, Source::Form(_)))
    }

    /// For each source, whether a response can set the id there.
    pub(crate) fn writable(&self) -> impl Iterator<Item = bool> {
        self.0
            .iter()
            .map(|source| matches!(source, Source::Cookie | Source::Header(_)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Source> {
        self.0.get(index)
    }
}

fn invalid<T>(setting: &'static str, why: &'static str) -> Result<T, BuildError> {
    Err(BuildError::Invalid { setting, why })
}

fn flatten(sources: &[IdSource], flat: &mut Vec<Source>) -> Result<(), BuildError> {
    for source in sources {
        flat.push(match source {
            IdSource::Chain(sources) => {
                flatten(sources, flat)?;
                continue;
            }
            IdSource::Cookie => Source::Cookie,
            IdSource::Header(name) => match HeaderName::try_from(name.as_str()) {
                Ok(header::COOKIE | header::SET_COOKIE | header::AUTHORIZATION) => {
                    return invalid("id_source header", "must not be Cookie, Set-Cookie or Authorization: they have sources of their own");
                }
                Ok(name) if RESERVED_HEADERS.contains(&name) => {
                    return invalid("id_source header", "must not be a header that has a meaning in HTTP, because the response carries the id under that name too");
                }
                Ok(name) => Source::Header(name),
                Err(_) => return invalid("id_source header", "must be the name of a header"),
            },
            IdSource::Authorization(scheme) => {
                if scheme.is_empty() || !scheme.bytes().all(is_token_byte) {
                    return invalid("id_source authorization", "must be a scheme such as `Bearer`");
                }
                Source::Authorization(scheme.clone())
            }
            IdSource::Query(name) => Source::Query(named(name, "id_source query")?),
            IdSource::Path(name) => Source::Path(named(name, "id_source path")?),
            IdSource::Form(name) => Source::Form(named(name, "id_source form")?),
            IdSource::Custom(find) => Source::Custom(find.clone()),
        });
    }
    Ok(())
}

fn named(name: &str, setting: &'static str) -> Result<String, BuildError> {
    if name.is_empty() {
        return invalid(setting, "must have a name");
    }
    Ok(name.to_owned())
}

impl Source {
    /// Passes each well-formed id of this source to `found`.
    fn find(
        &self,
        req: &Request,
        form: Option<&[u8]>,
        cookie_name: &str,
        found: impl FnMut(SessionId),
    ) {
        let parse = |text: &[u8]| SessionId::parse(text).ok();
        match self {
            Self::Cookie => {
                let headers = req.headers().get_all(header::COOKIE).iter();
                let ids = headers.flat_map(|line| cookie::find_ids(line.as_bytes(), cookie_name));
                ids.for_each(found);
            }
            Self::Header(name) => {
                let values = req.headers().get_all(name).iter();
                values
                    .filter_map(|value| parse(value.as_bytes()))
                    .for_each(found);
            }
            Self::Authorization(scheme) => {
                in_authorization(req.headers(), scheme)
                    .into_iter()
                    .for_each(found);
            }
            Self::Query(name) => {
                let query = req.uri().query().unwrap_or_default();
                in_pairs(query.as_bytes(), name).for_each(found);
            }
            Self::Path(name) => {
                let value = req.raw_path_param(name);
                value
                    .and_then(|value| parse(value.as_bytes()))
                    .into_iter()
                    .for_each(found);
            }
            Self::Custom(find) => {
                let value = find.get::<FindId>()(req);
                value
                    .and_then(|value| parse(value.as_bytes()))
                    .into_iter()
                    .for_each(found);
            }
            Self::Form(name) => in_pairs(form.unwrap_or_default(), name).for_each(found),
        }
    }
}

fn in_authorization(headers: &HeaderMap, scheme: &str) -> Option<SessionId> {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (credentials.next()?, credentials.next()) else {
        return None;
    };
    let (given, token) = only.to_str().ok()?.split_once(' ')?;
    // The characters of an id are a subset of those of a token68, and a space is not among them.
    given
        .eq_ignore_ascii_case(scheme)
        .then(|| SessionId::parse(token).ok())?
}

fn in_pairs(encoded: &[u8], name: &str) -> impl Iterator<Item = SessionId> {
    form_urlencoded::parse(encoded)
        .filter(move |(key, _)| key == name)
        .filter_map(|(_, value)| SessionId::parse(&*value).ok())
}

/// Reads the form of a request, and puts it back for the handler. If the body breaks off, no form is searched for
/// an id, and the handler gets the error when it reads the body.
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
    // A body of unknown length could not be put back if it exceeded the limit.
    if !is_form || length.is_none_or(|length| length > FORM_LIMIT) {
        return None;
    }
    let limit = usize::try_from(FORM_LIMIT).ok()?;
    match req.take_body().into_bytes_limit(limit).await {
        Ok(bytes) => {
            req.set_body(Body::from_bytes(bytes.clone()));
            Some(bytes)
        }
        Err(error) => {
            // Not an empty body, which would be a valid form.
            req.set_body(Body::from_async_read(Broken(Some(error))));
            None
        }
    }
}

/// A body that could not be read. Reading it again returns the same error.
struct Broken(Option<ReadBodyError>);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let error = match self.0.take() {
            Some(ReadBodyError::Io(error)) => error,
            Some(error) => io::Error::other(error),
            None => io::ErrorKind::UnexpectedEof.into(),
        };
        Poll::Ready(Err(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_found_unless_all_sources_are_cookies_and_there_is_none() {
        let header = || IdSource::Header("x-session".into());
        let (with, without) = (
            Request::builder().header("cookie", "a=b"),
            Request::builder(),
        );
        let (with, without) = (with.finish(), without.finish());
        for (sources, may_find) in [
            (vec![IdSource::Cookie], false),
            (vec![header()], true),
            (vec![IdSource::Cookie, IdSource::Query("id".into())], true),
            (
                vec![IdSource::Chain(vec![IdSource::Cookie, header()])],
                true,
            ),
        ] {
            let found = Sources::new(&sources).unwrap_or_else(|error| panic!("{error}"));
            assert!(found.may_find(&with), "{sources:?}");
            assert_eq!(found.may_find(&without), may_find, "{sources:?}");
        }
    }
}
