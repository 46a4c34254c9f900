#![deny(warnings)]
#![deny(missing_docs)]
//! `#[cfg]` on a handler or a parameter also removes the code that is generated for it.

use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
#[cfg(not(any()))]
async fn index() -> &'static str {
    "here"
}

#[session]
#[cfg(any())]
async fn index() -> NoSuchType {}

#[cfg(any())]
#[session]
async fn index(_: NoSuchType) {}

#[session(regenerate)]
#[cfg(any())]
#[poem::handler]
fn generic<T: NoSuchTrait>(_: Session<T>) {}

#[session]
#[cfg_attr(not(any()), allow(unused_variables))]
async fn parameters(
    #[cfg(not(any()))] shop: Session<Shop>,
    #[cfg(any())] shop: NoSuchType,
    #[cfg(any())] other: &mut NoSuchType,
    #[cfg(any())]
    #[key(NoSuchType::KEY)]
    key: u64,
    #[allow(unused)] request: &poem::Request,
) {
}

fn main() {
    let _ = poem::Route::new().at("/", poem::get(index).post(parameters));
}
