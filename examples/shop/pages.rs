//! The pages. They are given plain values and know nothing of requests and sessions.

mod account;
mod cart;
mod contact;
mod error;
mod layout;
mod products;

pub(crate) use self::{
    account::{Session, dashboard, sign_in},
    cart::cart,
    contact::{Draft, contact},
    error::error,
    layout::Visitor,
    products::products,
};
