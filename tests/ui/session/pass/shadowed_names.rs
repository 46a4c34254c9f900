//! The user's items have the names that the generated code refers to.
#![allow(dead_code, non_camel_case_types, non_upper_case_globals, unused_macros)]

use ::poem_session::{SessionData as Derive, session as endpoint};

struct Result;
struct String;
struct Vec;
struct Session;
struct SessionData;
struct Endpoint;
struct Request;
struct Response;
struct Default;
struct Ok;
struct Err;
struct Some;
struct None;
struct Deref;
mod core {}
mod std {}
mod poem {}
mod poem_session {}

macro_rules! unreachable {
    () => {
        compile_error!("not this one")
    };
}

#[derive(Derive)]
struct Shop {
    user: Option<u64>,
}

// Each handler is a unit struct. The generated code must not read its variables as patterns for them.
#[endpoint]
async fn req(shop: &mut Shop) {
    shop.user = Option::None;
}

#[endpoint(regenerate)]
async fn body(_: Shop) {}

#[endpoint]
async fn result(#[key(Shop::USER)] user: u64) -> ::std::string::String {
    user.to_string()
}

#[endpoint]
async fn p0() {}

#[endpoint]
fn response(_: &::poem::Request) {}

#[endpoint]
fn never<T: 'static>() {}

const request: u8 = 0;
static private: u8 = 0;

fn main() {
    let _ = ::poem::get(req).post(body).put(result).delete(p0).head(response);
}
