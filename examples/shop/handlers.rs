//! What the shop does with a request.

pub(crate) mod account;
pub(crate) mod cart;
pub(crate) mod contact;
pub(crate) mod products;
mod visitor;
