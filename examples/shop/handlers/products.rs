//! The first page, with all products.

use maud::Markup;
use poem_session::session;

use crate::pages::{self, Visitor};

/// `GET /`
#[session]
pub(crate) async fn show(visitor: Visitor) -> Markup {
    pages::products(&visitor)
}
