//! The data of the shop's sessions.

use std::time::SystemTime;

use poem_session::SessionData;

use crate::cart::LineItem;

/// The data of every visitor.
#[derive(SessionData)]
#[session(namespace = "shop")]
pub(crate) struct Shop {
    /// The cart.
    #[session(default)]
    pub(crate) cart: Vec<LineItem>,
    /// A message that the next page shows once.
    #[session(flash)]
    pub(crate) notice: Option<String>,
}

/// The data of a signed-in customer.
///
/// It is a struct of its own, so that the code for signing in does not depend on carts. Both structs are stored in
/// the same session, under different namespaces.
#[derive(SessionData)]
#[session(namespace = "account")]
pub(crate) struct Account {
    /// The user name.
    pub(crate) user: Option<String>,
    /// The time of the sign-in.
    pub(crate) signed_in_at: Option<SystemTime>,
}
