//! The functions that a `#[session]` handler calls.

use std::future::Future;

use poem::{
    Error, FromRequest, IntoResponse, Request, RequestBody, Response, Result,
    error::IntoResult,
    http::{HeaderValue, StatusCode, header},
};

use crate::{
    key::{Absence, Defaulted, Key, Optional},
    session::{AfterHandler, Edit, Handle, RequestSession, SessionData},
    web::{extract, response::status_of},
};

/// A type that can be a parameter of a `#[session]` handler: any type that Poem extracts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a `#[session]` handler",
    label = "neither session data nor a Poem extractor",
    note = "a session is taken as `Session<S>`, `S` or `&mut S`, where `S` derives `SessionData`; one key of it as `#[key(S::FIELD)] name: T`",
    note = "anything else must implement `poem::FromRequest`, as `Form<T>`, `Json<T>`, `Query<T>` and `Data<&T>` do"
)]
pub trait HandlerParam<'a>: FromRequest<'a> {}

#[diagnostic::do_not_recommend]
impl<'a, T: FromRequest<'a>> HandlerParam<'a> for T {}

/// Extracts a parameter from the request.
// Not an `async fn`, or the compiler could not prove that the handler's future is `Send`.
pub fn extract<'a, T: HandlerParam<'a>>(
    req: &'a Request,
    body: &mut RequestBody,
) -> impl Future<Output = Result<T>> + Send {
    T::from_request(req, body)
}

/// A type that can be a `#[key]` parameter, for a key of type `T` whose field is an `Option`.
#[diagnostic::on_unimplemented(
    message = "a `#[key]` parameter for a session key of type `{T}` cannot be a `{Self}`",
    label = "expected `{T}` or `Option<{T}>`",
    note = "write `{T}` to turn away requests without it, or `Option<{T}>` to serve them"
)]
pub trait KeyParam<T>: Sized {
    /// Returns the value of the parameter, or `None` to reject the request.
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

/// A type that can be a `#[key]` parameter, for a key of type `T` whose field has a default.
#[diagnostic::on_unimplemented(
    message = "a `#[key]` parameter for a session key with a default, of type `{T}`, cannot be a `{Self}`",
    label = "expected `{T}`",
    note = "the key always has a value, at least its default, so an `Option` would always be `Some`: write `{T}`"
)]
pub trait DefaultedKeyParam<T>: Sized {
    /// Returns the value of the parameter.
    fn from_value(value: T) -> Self;
}

impl<T> DefaultedKeyParam<T> for T {
    fn from_value(value: T) -> T {
        value
    }
}

/// The kind of a key that a parameter of type `P` can be read from.
pub trait ParamKey<T, P>: Absence<T> {
    /// Returns the value of the parameter, or `None` to reject the request.
    fn param(read: Self::Read) -> Option<P>;
}

impl<T, P: KeyParam<T>> ParamKey<T, P> for Optional {
    fn param(read: Option<T>) -> Option<P> {
        P::from_key(read)
    }
}

impl<T, P: DefaultedKeyParam<T>> ParamKey<T, P> for Defaulted {
    fn param(read: T) -> Option<P> {
        Some(P::from_value(read))
    }
}

/// The value of a key that was read, of the type that its kind has.
#[derive(Debug)]
pub struct KeyValue<T, A: Absence<T>>(A::Read);

/// Reads one key of the request's session.
#[allow(clippy::missing_errors_doc)]
pub async fn key<S, T, A>(req: &Request, key: Key<S, T, A>) -> Result<KeyValue<T, A>>
where
    S: SessionData,
    A: Absence<T>,
{
    let active = extract::active::<S>(req).await?;
    Ok(KeyValue(Handle::new(active).get(key)?))
}

/// Converts the value of a key into a parameter. A request without it is redirected to `or_redirect`, or rejected
/// with 401.
#[allow(clippy::missing_errors_doc)]
pub fn key_param<T, A, P>(value: KeyValue<T, A>, or_redirect: Option<&'static str>) -> Result<P>
where
    A: ParamKey<T, P>,
{
    A::param(value.0).ok_or_else(|| rejected(or_redirect))
}

fn rejected(or_redirect: Option<&'static str>) -> Error {
    match or_redirect {
        Some(address) => Error::from_response(
            Response::builder()
                .status(StatusCode::SEE_OTHER)
                .header(header::LOCATION, HeaderValue::from_static(address))
                .finish(),
        ),
        // Made from a response, so that the middleware can add headers to it.
        None => Error::from_response(StatusCode::UNAUTHORIZED.into_response()),
    }
}

/// Reads a struct from the request's session, to be written back.
#[allow(clippy::missing_errors_doc)]
pub async fn edit<S: SessionData>(req: &Request) -> Result<Edit<S>> {
    Ok(Edit::begin(extract::active::<S>(req).await?)?)
}

/// A type that the function of a `#[session]` handler can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the response of a `#[session]` handler",
    label = "not a response",
    note = "return what implements `poem::IntoResponse`, such as `String`, `Html<T>`, `Json<T>`, `Redirect` and `Response`, or a `Result` of it whose error converts into `poem::Error`"
)]
pub trait HandlerOutput<T: IntoResponse>: IntoResult<T> {}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse, R: IntoResult<T>> HandlerOutput<T> for R {}

/// Converts the result of the handler into a response.
#[allow(clippy::missing_errors_doc)]
pub fn into_response<T: IntoResponse>(result: impl HandlerOutput<T>) -> Result<Response> {
    result.into_result().map(IntoResponse::into_response)
}

/// Writes the fields that the handler has changed. An error replaces a successful response.
#[allow(clippy::missing_errors_doc)]
pub fn write_back<S: SessionData>(result: Result<Response>, edit: Edit<S>) -> Result<Response> {
    match edit.write_back() {
        Ok(()) => result,
        Err(error) => result.and(Err(error.into())),
    }
}

/// The extraction of a handler's parameters.
///
/// If one parameter rejects the request, the handler does not run. Dropping this value then restores the flash
/// values that other parameters have read.
#[derive(Debug)]
#[must_use]
pub struct Parameters<'a> {
    req: &'a Request,
    complete: bool,
}

impl<'a> Parameters<'a> {
    /// Starts, for a handler without options.
    pub fn begin(req: &'a Request) -> Self {
        let complete = false;
        Self { req, complete }
    }

    /// Starts, for a handler with options that act on the sessions it uses. A session that only a middleware
    /// has used is not among them. If `exclusive`, the sessions that the handler uses are locked until the
    /// response is made.
    pub fn begin_with_options(req: &'a Request, exclusive: bool) -> Self {
        for session in extract::all(req) {
            session.begin_handler(exclusive);
        }
        Self::begin(req)
    }

    /// All parameters are extracted: the handler runs now.
    pub fn complete(mut self) {
        self.complete = true;
    }

    /// All parameters are extracted. If the handler uses no session, its options act on the session of the
    /// innermost middleware.
    #[allow(clippy::missing_errors_doc)]
    pub async fn complete_with_session(self) -> Result<()> {
        if used(self.req).next().is_none() {
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

/// Marks the request as passive, in all middlewares.
pub fn set_passive(req: &Request) {
    extract::all(req).for_each(RequestSession::set_passive);
}

/// The sessions that the handler of the request uses.
fn used(req: &Request) -> impl Iterator<Item = &RequestSession> {
    extract::all(req).filter(|session| session.is_used())
}

/// Does what the options say if the handler has succeeded: its response status is below 400.
#[allow(clippy::missing_errors_doc)]
pub fn after(req: &Request, result: Result<Response>, options: AfterHandler) -> Result<Response> {
    if status_of(&result).as_u16() < 400 {
        for session in used(req) {
            session.after_handler(options);
        }
    }
    result
}
