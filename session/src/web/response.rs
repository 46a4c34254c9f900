//! The response to an error: a status with its usual phrase. The text of the error is not shown to the client.

use poem::{
    Response, Result,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};

use crate::{
    error::{
        ExtractError, GetError, KeyClashError, LoadError, LockError, OpenError, ReloadError,
        RequestError, SaveError, SetError, UpdateError,
    },
    store::{StoreError, StoreErrorKind},
};

/// The status of a handler's response or error.
pub(crate) fn status_of(result: &Result<Response>) -> StatusCode {
    match result {
        Ok(response) => response.status(),
        Err(error) => error.status(),
    }
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::builder()
        .status(status)
        .body(status.canonical_reason().unwrap_or_default());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // A temporary condition (RFC 9110, section 15.6.4).
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Implements `ResponseError` with a status and its usual phrase.
macro_rules! respond {
    ($($error:ty, |$this:ident| $status:expr;)+) => {
        $(impl ResponseError for $error {
            fn status(&self) -> StatusCode {
                let $this = self;
                $status
            }

            fn as_response(&self) -> Response {
                plain(self.status())
            }
        })+
    };
}

respond! {
    GetError, |this| match this {
        GetError::Decode { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    SetError, |this| match this {
        SetError::Encode { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        SetError::TooDeep { .. }
        | SetError::ValueTooLarge { .. }
        | SetError::TooManyKeys { .. }
        | SetError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
    };
    UpdateError, |this| match this {
        UpdateError::Get(error) => error.status(),
        UpdateError::Set(error) => error.status(),
        UpdateError::Overtaken { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    StoreError, |this| match this.kind() {
        // A retry does not help.
        StoreErrorKind::Corrupt | StoreErrorKind::Unsupported => StatusCode::INTERNAL_SERVER_ERROR,
        // Also a changed password or a missing table: the session itself may be intact.
        StoreErrorKind::Unavailable
        | StoreErrorKind::TimedOut
        | StoreErrorKind::Full
        | StoreErrorKind::Misconfigured => StatusCode::SERVICE_UNAVAILABLE,
    };
    LoadError, |this| match this {
        LoadError::Store(error) => error.status(),
        LoadError::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    KeyClashError, |_this| StatusCode::INTERNAL_SERVER_ERROR;
    ExtractError, |_this| StatusCode::INTERNAL_SERVER_ERROR;
    OpenError, |this| match this {
        OpenError::NotFound => StatusCode::NOT_FOUND,
        OpenError::Load(error) => error.status(),
        OpenError::KeyClash(error) => error.status(),
    };
    ReloadError, |this| match this {
        ReloadError::Ended => StatusCode::CONFLICT,
        ReloadError::Load(error) => error.status(),
    };
    SaveError, |this| match this {
        SaveError::Store(error) => error.status(),
        SaveError::Ended | SaveError::Conflict { .. } | SaveError::InDoubt | SaveError::LeaseLost => StatusCode::CONFLICT,
        SaveError::Contended { .. } => StatusCode::SERVICE_UNAVAILABLE,
        SaveError::Update(error) => error.status(),
        SaveError::TooLarge { .. } | SaveError::TooManyKeys { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        },
        SaveError::CrossSite | SaveError::Preflight => StatusCode::FORBIDDEN,
        SaveError::ResponseSent | SaveError::Discarded => StatusCode::INTERNAL_SERVER_ERROR,
    };
    LockError, |this| match this {
        LockError::TimedOut { .. } => StatusCode::SERVICE_UNAVAILABLE,
        LockError::Ended => StatusCode::CONFLICT,
        LockError::Load(error) => error.status(),
    };
    RequestError, |this| match this {
        RequestError::Extract(error) => error.status(),
        RequestError::Load(error) => error.status(),
        RequestError::Lock(error) => error.status(),
        RequestError::Save(error) => error.status(),
    };
}
