//! [`Refusal`]: the reason why a request must not begin a session.

use crate::error::SaveError;

/// The reason why a request that presents no live session is not given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another site sends the request. Its response would replace the session that the browser has (login CSRF).
    CrossSite,
    /// It is a CORS preflight: the browser asks for a permission, for no visitor.
    Preflight,
}

impl From<Refusal> for SaveError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::CrossSite => Self::CrossSite,
            Refusal::Preflight => Self::Preflight,
        }
    }
}
