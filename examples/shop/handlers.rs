//! The request handlers of the shop.

pub(crate) mod account;
pub(crate) mod cart;
pub(crate) mod contact;
pub(crate) mod products;
mod visitor;
