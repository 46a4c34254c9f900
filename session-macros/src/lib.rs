//! The macros of [`poem-session`](https://docs.rs/poem-session), which re-exports and documents them:
//! `#[derive(SessionData)]` makes the fields of a struct session keys, `#[session]` makes a function a
//! Poem endpoint.
//!
//! Both go the same way: `attr` is what was written, `ast` the model of it, `valid` refuses what cannot
//! be meant, `expand` writes the tokens. These are thin calls into `poem_session::__private`.

mod ctxt;
mod data;
mod handler;
mod meta;
mod names;
mod private;

use proc_macro::TokenStream;

/// Makes the fields of a struct session keys; see `poem_session::SessionData`.
#[proc_macro_derive(SessionData, attributes(session))]
pub fn derive_session_data(input: TokenStream) -> TokenStream {
    match syn::parse(input) {
        Ok(input) => data::derive(&input).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Makes a function a Poem endpoint that takes session parameters; see `poem_session::session`.
#[proc_macro_attribute]
pub fn session(options: TokenStream, item: TokenStream) -> TokenStream {
    match syn::parse(item) {
        Ok(item) => handler::expand(options.into(), item).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
