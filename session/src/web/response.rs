//! What a client is told of an error: a status with its usual phrase, and nothing of the error itself.

use poem::{
    Response, Result,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};

use crate::{
    error::{
        GetError, LoadError, LockError, OpenError, SaveError, SessionError, SetError, UpdateError,
    },
    store::{StoreError, StoreErrorKind},
};

/// The status that a client will see.
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
        // Trouble of the moment (RFC 9110, section 15.6.4).
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Gives errors a status and a body that says no more than that.
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
        // It stays so, whenever the client comes again.
        StoreErrorKind::Corrupt | StoreErrorKind::Unsupported => StatusCode::INTERNAL_SERVER_ERROR,
        // Also a password that was changed, or a table that is not there yet: the session is.
        StoreErrorKind::Unavailable
        | StoreErrorKind::TimedOut
        | StoreErrorKind::Full
        | StoreErrorKind::Misconfigured => StatusCode::SERVICE_UNAVAILABLE,
    };
    LoadError, |this| match this {
        LoadError::Store(error) => error.status(),
        LoadError::NoMiddleware
        | LoadError::Skipped
        | LoadError::Corrupt { .. }
        | LoadError::KeyClash(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    OpenError, |this| match this {
        OpenError::NotFound => StatusCode::NOT_FOUND,
        OpenError::Load(error) => error.status(),
    };
    SaveError, |this| match this {
        SaveError::Store(error) => error.status(),
        SaveError::Ended | SaveError::LeaseLost => StatusCode::CONFLICT,
        SaveError::Contended { .. } => StatusCode::SERVICE_UNAVAILABLE,
        SaveError::Update(error) => error.status(),
        SaveError::TooLarge { .. } | SaveError::TooManyKeys { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        },
        SaveError::ResponseSent | SaveError::Discarded => StatusCode::INTERNAL_SERVER_ERROR,
    };
    LockError, |this| match this {
        LockError::TimedOut { .. } => StatusCode::SERVICE_UNAVAILABLE,
        LockError::Ended => StatusCode::CONFLICT,
        LockError::Load(error) => error.status(),
    };
    SessionError, |this| match this {
        SessionError::Lock(error) => error.status(),
        SessionError::Load(error) => error.status(),
        SessionError::Save(error) => error.status(),
    };
}
