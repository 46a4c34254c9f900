#![no_implicit_prelude]

#[derive(::poem_session::SessionData)]
struct Shop {
    user: ::std::option::Option<u64>,
}

#[::poem_session::session(or_redirect = "/login", regenerate, idle_timeout = "1h")]
async fn all(
    shop: &mut Shop,
    session: ::poem_session::Session<Other>,
    #[key(Shop::USER)] user: u64,
    _: &::poem::Request,
) -> ::poem::Result<()> {
    shop.user = ::std::option::Option::Some(user);
    session.set_a(1)?;
    ::std::result::Result::Ok(())
}

#[derive(::poem_session::SessionData)]
struct Other {
    a: ::std::option::Option<u8>,
}

#[::poem_session::session]
fn generic<T: ::std::marker::Sync>() {}

fn main() {
    let _ = ::poem::get(all).post(<generic<u8> as ::std::default::Default>::default());
}
