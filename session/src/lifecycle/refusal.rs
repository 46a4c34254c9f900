//! [`Refusal`]: the reason why a request must not begin a session.

use crate::{error::SaveError, lifecycle::Lifecycle};

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

impl Lifecycle {
    /// From now on, the request must not begin a session.
    pub(crate) fn refuse_new(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    /// Why the request must not begin a session.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }
}
