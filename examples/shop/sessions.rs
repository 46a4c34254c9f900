//! What the shop keeps in a session.

use std::time::SystemTime;

use poem_session::SessionData;

use crate::cart::LineItem;

/// What every visitor may have.
#[derive(SessionData)]
#[session(namespace = "shop")]
pub(crate) struct Shop {
    /// What is in the cart.
    #[session(default)]
    pub(crate) cart: Vec<LineItem>,
    /// Said on the next page, and then no more.
    #[session(flash)]
    pub(crate) notice: Option<String>,
}

/// What a customer has who is signed in. A struct of its own, as the part of the application that
/// signs people in need not know of carts; both are in one session, under names of their own.
#[derive(SessionData)]
#[session(namespace = "account")]
pub(crate) struct Account {
    /// The user name.
    pub(crate) user: Option<String>,
    /// When they signed in.
    pub(crate) signed_in_at: Option<SystemTime>,
}
