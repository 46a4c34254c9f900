//! [`Layer`]: the session of one `Sessions` middleware in a request, and the middlewares around it.

use std::{any::TypeId, sync::Arc};

use bytes::Bytes;
use poem::Request;

use crate::{
    error::ExtractError, lifecycle::Refusal, session::RequestSession, web::sessions::Sessions,
};

/// The session of one `Sessions` middleware, in the extensions of a request.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) sessions: Sessions,
    /// `None` if the `skip` rule of the middleware applies.
    pub(crate) session: Option<RequestSession>,
    /// The form of the request, if the id may be in it.
    pub(crate) form: Option<Bytes>,
    /// Why the request must not begin a session, unless it presents a live one.
    pub(crate) refusal: Option<Refusal>,
    /// The middleware around this one.
    pub(crate) outer: Option<Arc<Layer>>,
}

impl Layer {
    pub(crate) fn innermost(req: &Request) -> Result<&Self, ExtractError> {
        req.data().ok_or(ExtractError::NoMiddleware)
    }

    /// This layer and those around it, from the inside out.
    pub(crate) fn and_outer(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |layer| layer.outer.as_deref())
    }

    /// The layer for a struct: the innermost one that names it, else the innermost one.
    pub(crate) fn of(req: &Request, data: TypeId) -> Result<&Self, ExtractError> {
        let innermost = Self::innermost(req)?;
        let naming = innermost
            .and_outer()
            .find(|layer| layer.sessions.web().declared.contains(&data));
        Ok(naming.unwrap_or(innermost))
    }

    /// The layer that `sessions` has around the request already, if it gives the request a session.
    pub(crate) fn of_same<'a>(req: &'a Request, sessions: &Sessions) -> Option<&'a Self> {
        let innermost = Self::innermost(req).ok()?;
        let mut live = innermost
            .and_outer()
            .filter(|layer| layer.session.is_some());
        live.find(|layer| layer.sessions.is_same(sessions))
    }

    /// Checks that no middleware around the request sends ids on a carrier of `sessions`. The response would have
    /// two ids under one name, and the client would keep one of them.
    pub(crate) fn check_carriers(req: &Request, sessions: &Sessions) -> Result<(), ExtractError> {
        let Ok(innermost) = Self::innermost(req) else {
            return Ok(());
        };
        for outer in innermost
            .and_outer()
            .filter(|layer| layer.session.is_some())
        {
            for carrier in sessions.web().carriers() {
                if outer
                    .sessions
                    .web()
                    .carriers()
                    .any(|other| other == carrier)
                {
                    let carrier = carrier.to_string();
                    return Err(ExtractError::CarrierClash { carrier });
                }
            }
        }
        Ok(())
    }
}
