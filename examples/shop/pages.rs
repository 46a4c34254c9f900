//! The pages. They are functions of plain values and do not use requests or sessions.

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
