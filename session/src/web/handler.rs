//! What `#[session]` on a handler comes down to.

use std::{future::Future, sync::Arc, time::Duration};

use poem::{
    Error, FromRequest, IntoResponse, Request, RequestBody, Response, Result,
    error::IntoResult,
    http::{HeaderValue, StatusCode, header},
};

use crate::{
    active::{ActiveSession, Taking},
    key::{Absence, Key, SessionData},
    session::{Edit, Handle},
    web::{extract, response::status_of},
};

pub use crate::web::extract::snapshot;

/// What a parameter of a `#[session]` handler can be: anything that Poem extracts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a `#[session]` handler",
    label = "neither session data nor a Poem extractor",
    note = "a session is taken as `Session<S>`, `S` or `&mut S`, where `S` derives `SessionData`; one key of it as `#[key(S::FIELD)] name: T`",
    note = "anything else must implement `poem::FromRequest`, as `Form<T>`, `Json<T>`, `Query<T>` and `Data<&T>` do"
)]
pub trait HandlerParam<'a>: FromRequest<'a> {}

#[diagnostic::do_not_recommend]
impl<'a, T: FromRequest<'a>> HandlerParam<'a> for T {}

/// Takes a parameter out of the request.
// Not an `async fn`: the compiler could not tell then that the handler's future is `Send`.
pub fn extract<'a, T: HandlerParam<'a>>(
    req: &'a Request,
    body: &mut RequestBody,
) -> impl Future<Output = Result<T>> + Send {
    T::from_request(req, body)
}

/// What a `#[key]` parameter can be, for a key of `T`.
#[diagnostic::on_unimplemented(
    message = "a `#[key]` parameter for a session key of type `{T}` cannot be a `{Self}`",
    label = "expected `{T}` or `Option<{T}>`",
    note = "write `{T}` to turn away requests without it, or `Option<{T}>` to serve them"
)]
pub trait KeyParam<T>: Sized {
    /// The parameter's value, or nothing where the request is to be turned away.
    fn from_key(value: Option<T>) -> Option<Self>;
}

impl<T> KeyParam<T> for T {
    fn from_key(value: Option<T>) -> Option<T> {
        value
    }
}

impl<T> KeyParam<T> for Option<T> {
    fn from_key(value: Option<T>) -> Option<Option<T>> {
        Some(value)
    }
}

/// Takes one key out of the request's session. Without it, the request goes to `or_redirect`, or is
/// answered 401.
#[allow(clippy::missing_errors_doc)]
pub async fn key<S, T, A, P>(
    req: &Request,
    key: Key<S, T, A>,
    or_redirect: Option<&'static str>,
) -> Result<P>
where
    S: SessionData,
    A: Absence<T>,
    P: KeyParam<T>,
{
    let active = extract::active::<S>(req).await?;
    let value = A::stored(Handle::new(active).get(key)?);
    P::from_key(value).ok_or_else(|| turned_away(or_redirect))
}

fn turned_away(or_redirect: Option<&'static str>) -> Error {
    match or_redirect {
        Some(address) => Error::from_response(
            Response::builder()
                .status(StatusCode::SEE_OTHER)
                .header(header::LOCATION, HeaderValue::from_static(address))
                .finish(),
        ),
        None => Error::from_status(StatusCode::UNAUTHORIZED),
    }
}

/// Takes a struct out of the request's session, to be written back.
#[allow(clippy::missing_errors_doc)]
pub async fn edit<S: SessionData>(req: &Request) -> Result<Edit<S>> {
    Ok(Edit::begin(extract::active::<S>(req).await?)?)
}

/// What the function of a `#[session]` handler can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the response of a `#[session]` handler",
    label = "not a response",
    note = "return what implements `poem::IntoResponse`, such as `String`, `Html<T>`, `Json<T>`, `Redirect` and `Response`, or a `Result` of it whose error converts into `poem::Error`"
)]
pub trait HandlerOutput<T: IntoResponse>: IntoResult<T> {}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse, R: IntoResult<T>> HandlerOutput<T> for R {}

/// The handler's answer as a response.
#[allow(clippy::missing_errors_doc)]
pub fn into_response<T: IntoResponse>(result: impl HandlerOutput<T>) -> Result<Response> {
    result.into_result().map(IntoResponse::into_response)
}

/// Sets the fields that the handler changed. An error in that takes the place of the handler's success.
#[allow(clippy::missing_errors_doc)]
pub fn write_back<S: SessionData>(result: Result<Response>, edit: Edit<S>) -> Result<Response> {
    match edit.write_back() {
        Ok(()) => result,
        Err(error) => result.and(Err(error.into())),
    }
}

/// The time in which a handler's parameters are taken out of the request.
///
/// Where it ends early, because one of them turned the request away, the handler does not run: the flash
/// values that the others have read are still to be shown.
#[derive(Debug)]
#[must_use]
pub struct Parameters<'a> {
    req: &'a Request,
    complete: bool,
}

impl<'a> Parameters<'a> {
    /// Begins, for a handler without options.
    pub fn begin(req: &'a Request) -> Self {
        let complete = false;
        Self { req, complete }
    }

    /// Begins, for a handler whose options act on the sessions that it takes. What a middleware has taken is
    /// not the handler's; where it is `exclusive`, what it takes is locked until the response has been made.
    pub fn begin_with_options(req: &'a Request, exclusive: bool) -> Self {
        let taking = if exclusive {
            Taking::ToBeLocked
        } else {
            Taking::Untaken
        };
        for session in extract::all(req) {
            session.state().taking = taking;
        }
        Self::begin(req)
    }

    /// The handler runs now.
    pub fn complete(mut self) {
        self.complete = true;
    }

    /// The handler runs now, with a session for its options to act on: one that it takes, else that of
    /// the innermost middleware.
    #[allow(clippy::missing_errors_doc)]
    pub async fn complete_with_session(self) -> Result<()> {
        if taken(self.req).next().is_none() {
            extract::innermost(self.req).await?;
        }
        self.complete();
        Ok(())
    }
}

impl Drop for Parameters<'_> {
    fn drop(&mut self) {
        if !self.complete {
            for session in extract::all(self.req) {
                session.restore_flash();
            }
        }
    }
}

/// The sessions that the request's handler takes.
fn taken(req: &Request) -> impl Iterator<Item = &Arc<ActiveSession>> {
    extract::all(req).filter(|session| session.state().taking == Taking::Taken)
}

/// The options that act once the handler has succeeded.
#[derive(Debug, Clone, Copy)]
pub struct After {
    /// A new id.
    pub regenerate: bool,
    /// The session ends.
    pub destroy: bool,
    /// An idle timeout of its own, in milliseconds.
    pub idle_timeout: Option<u64>,
}

/// Does what the options say where the handler has succeeded: its status is below 400.
#[allow(clippy::missing_errors_doc)]
pub fn after(req: &Request, result: Result<Response>, options: After) -> Result<Response> {
    if status_of(&result).as_u16() >= 400 {
        return result;
    }
    for session in taken(req) {
        if options.destroy {
            session.destroy_keeping_changes();
        }
        if options.regenerate {
            session.regenerate();
        }
        if let Some(millis) = options.idle_timeout {
            session.set_idle_timeout(Duration::from_millis(millis));
        }
    }
    result
}
