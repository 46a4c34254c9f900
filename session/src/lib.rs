//! Typed, declarative HTTP sessions for [Poem](https://docs.rs/poem).
//!
//! Derive [`SessionData`] on a struct, put [`#[session]`](macro@session) on a handler, and the compiler
//! checks every session key: a typo, a key of another struct, or a value of another type does not
//! compile. Underneath, requests that run in parallel do not lose each other's changes, a logout is
//! final, and visitors who leave nothing behind cost nothing.
//!
//! ```
//! use poem::{Route, get};
//! use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
//!
//! #[derive(SessionData)]
//! struct Visits {
//!     #[session(default)]
//!     count: u64,
//! }
//!
//! #[session]
//! async fn index(visits: Session<Visits>) -> poem::Result<String> {
//!     visits.update_count(|count| *count += 1)?;
//!     Ok(format!("You were here {} times.", visits.count()?))
//! }
//!
//! # fn app() -> Result<impl poem::Endpoint, poem_session::BuildError> {
//! let sessions = Sessions::builder(MemoryStore::new()).build()?;
//! let app = Route::new().at("/", get(index)).with(sessions);
//! # Ok(app) }
//! # use poem::EndpointExt;
//! # app().unwrap();
//! ```
//!
//! # Session data
//!
//! A struct of session keys. Each field is an `Option<T>`, absent until it is set, or has a
//! `#[session(default)]`; any type that serde can write and read will do, as long as its values nest
//! lists and maps at most 128 deep.
//!
//! ```
//! use poem_session::SessionData;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Item { product: u32, quantity: u32 }
//!
//! #[derive(SessionData)]
//! #[session(namespace = "shop")]      // keys are stored as `shop.cart`: renaming the struct breaks nothing
//! struct Shop {
//!     /// Who is signed in.
//!     user: Option<String>,
//!     #[session(default)]
//!     cart: Vec<Item>,
//!     #[session(flash)]               // gone once it has been read
//!     notice: Option<String>,
//! }
//! ```
//!
//! A field `cart` gives the constant `Shop::CART`, and [`Session<Shop>`](Session) the methods `cart()`,
//! `set_cart(value)`, `update_cart(closure)`, `remove_cart()` and `take_cart()`. They need no import, and are
//! as visible as the field.
//!
//! | on the struct | |
//! |---|---|
//! | `namespace = "shop"` | the first part of its keys; default the struct's name in snake case |
//! | `crate = path` | where this crate is found, if not as `::poem_session` |
//!
//! | on a field | |
//! |---|---|
//! | `default`, `default = expr` | what a reader gets where nothing is stored |
//! | `flash` | reading it removes it |
//! | `rename = "name"` | the second part of its key, in place of the field's name |
//! | `alias = "old"` | reads an older name where nothing is stored under the new one; `"other.old"` is one of another namespace |
//! | `skip` | not stored; `Default::default()` in the struct |
//!
//! # Handlers
//!
//! `#[session]` makes an endpoint of a function, as Poem's `#[handler]` does, and gives it more kinds of
//! parameters:
//!
//! | parameter | |
//! |---|---|
//! | `shop: Session<Shop>` | the session; decodes only what is asked for |
//! | `shop: Shop` | a snapshot of the struct, to read |
//! | `shop: &mut Shop` | the struct itself; the fields that changed are written back |
//! | `#[key(Shop::USER)] user: String` | one key; a request without it is turned away |
//! | `#[key(Shop::USER)] user: Option<String>` | one key, or `None` |
//! | any Poem extractor | as ever |
//!
//! `Session<Shop>` and `Shop` are extractors, and so work under `#[handler]` and in `#[OpenApi]` methods too.
//!
//! | option | |
//! |---|---|
//! | `or_redirect = "/login"` | where a request without a `#[key]` goes; otherwise it is answered 401 |
//! | `regenerate` | a new id once the handler has succeeded |
//! | `destroy` | the session ends once the handler has succeeded; what the handler itself set begins the next |
//! | `exclusive` | requests of one session run one at a time, over all processes; locked before any parameter is taken |
//! | `idle_timeout = "2h"` | this session's own idle timeout from then on |
//!
//! To succeed is to answer with a status below 400.
//!
//! # Login, cart and flash messages
//!
//! ```
//! use poem::{EndpointExt, Route, get, post, web::{Form, Redirect}};
//! use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
//! use serde::Deserialize;
//!
//! #[derive(SessionData)]
//! #[session(namespace = "shop")]
//! struct Shop {
//!     user: Option<String>,
//!     #[session(default)]
//!     cart: Vec<u32>,
//!     #[session(flash)]
//!     notice: Option<String>,
//! }
//!
//! #[derive(Deserialize)]
//! struct Credentials { user: String, password: String }
//! #[derive(Deserialize)]
//! struct Add { product: u32 }
//! # fn verify(_: &Credentials) -> bool { true }
//!
//! #[session]
//! async fn add(shop: Session<Shop>, Form(add): Form<Add>) -> poem::Result<Redirect> {
//!     // Runs again on the newer cart if another request changed it first: nothing gets lost.
//!     shop.update_cart(move |cart| cart.push(add.product))?;
//!     shop.set_notice("Added to your cart.".into())?;
//!     Ok(Redirect::see_other("/cart"))
//! }
//!
//! #[session]
//! async fn show_cart(shop: Session<Shop>) -> poem::Result<String> {
//!     let notice = shop.notice()?.unwrap_or_default();
//!     Ok(format!("{notice} {} things", shop.cart()?.len()))
//! }
//!
//! #[session(regenerate)]              // a new id whenever rights change: no session fixation
//! async fn login(shop: Session<Shop>, Form(form): Form<Credentials>) -> poem::Result<Redirect> {
//!     if !verify(&form) {
//!         shop.set_notice("That did not match.".into())?;
//!         return Ok(Redirect::see_other("/login"));
//!     }
//!     shop.set_user(form.user)?;
//!     Ok(Redirect::see_other("/account"))
//! }
//!
//! #[session(or_redirect = "/login")]  // only reached signed in
//! async fn account(#[key(Shop::USER)] user: String) -> String {
//!     format!("Hello, {user}.")
//! }
//!
//! #[session(destroy)]
//! async fn logout(shop: Session<Shop>) -> poem::Result<Redirect> {
//!     shop.set_notice("Good bye.".into())?;
//!     Ok(Redirect::see_other("/"))
//! }
//!
//! # fn app() -> Result<impl poem::Endpoint, poem_session::BuildError> {
//! let sessions = Sessions::builder(MemoryStore::new()).data::<Shop>().build()?;
//! let app = Route::new()
//!     .at("/cart", get(show_cart).post(add))
//!     .at("/login", post(login))
//!     .at("/account", get(account))
//!     .at("/logout", post(logout))
//!     .with(sessions);
//! # Ok(app) }
//! # app().unwrap();
//! ```
//!
//! # How sessions behave
//!
//! **Loading.** The store is asked once a request, when a session value is first extracted; a handler that
//! takes none costs nothing. An id that is malformed never reaches the store, and one that is unknown or
//! expired is never adopted.
//!
//! **Saving.** After the handler, before the response leaves: one write if something changed, none
//! otherwise. The cookie is sent only once the write has succeeded. A 5xx response or a panic saves
//! nothing; an `Err` that becomes 3xx or 4xx does save. [`Session::save`] saves at once, for streams and
//! WebSockets.
//!
//! **Parallel requests of one session.** A write names the version it was made from. Where another request
//! was first, the changed *fields* are put onto the newer record, and `update_*` closures run again on the
//! newer value. The last `set_*` of one field wins; fields that were not touched are never written.
//!
//! **Ended is ended.** A request that is still under way when its session is destroyed, regenerated or
//! revoked elsewhere can neither bring it back nor replace the client's newer cookie: its changes are
//! refused with [`SaveError::Ended`], a 409. For a few seconds more ([`SessionsBuilder::retired_for`]) the
//! same holds for requests that arrive with the old id.
//!
//! **Time.** A session ends at the earlier of its last use plus the idle timeout and its creation plus the
//! absolute timeout. The same moment is the store's expiry and the cookie's `Max-Age`. Reading counts as use,
//! and is written down at most once in a tenth of the idle timeout ([`Touch`]).
//!
//! **At rest.** A store's key is the SHA-256 of the id ([`PublicId`]): who reads the store cannot use what is
//! in it. A record is one MessagePack map, `namespace.field` to value, readable from any language. What does
//! not decode is an error that names the key, never silently absent.
//!
//! **Faults.** With the store down, slow, full or read-only, requests that need it get a 503 without details and
//! the cookie is left alone; it recovers by itself (see [`store`]). No error text, log line or `Debug` shows an
//! id or a value.
//!
//! # Limits
//!
//! | of | default | setting | beyond it |
//! |---|---|---|---|
//! | one value | 64 KiB | [`max_value_size`](SessionsBuilder::max_value_size) | [`SetError::ValueTooLarge`] where it is set, 413 |
//! | one session | 64 KiB | [`max_size`](SessionsBuilder::max_size) | [`SetError::TooLarge`] where it is set, [`SaveError::TooLarge`] once merged, 413 |
//! | keys of one session | 256 | [`max_keys`](SessionsBuilder::max_keys) | [`SetError::TooManyKeys`], [`SaveError::TooManyKeys`], 413 |
//! | sessions in memory | 1,048,576 | [`MemoryStore::builder`](store::MemoryStore::builder) | new ones are refused with a 503, or another one ends (`OnFull`) |
//! | a call of the store | 5 s | [`store_timeout`](SessionsBuilder::store_timeout) | 503 |
//! | attempts of a write | 256 | [`max_attempts`](SessionsBuilder::max_attempts) | [`SaveError::Contended`], 503 |
//! | waiting for a lock | 10 s | [`lock_wait`](SessionsBuilder::lock_wait) | [`LockError::TimedOut`], 503 |
//! | a lock whose holder crashed | 15 s | [`lock_lease`](SessionsBuilder::lock_lease) | it ends; the holder can no longer write ([`SaveError::LeaseLost`], 409) |
//!
//! A record of more than 8 MiB ([`store::MAX_RECORD`]) in a database or in Redis, whoever wrote it, is not read:
//! it is an error, [`Corrupt`](store::StoreErrorKind::Corrupt). Lengths that a record claims are not believed
//! before they are seen.
//!
//! # Cargo features
//!
//! | feature | |
//! |---|---|
//! | `sqlite` | sessions in an SQLite file |
//! | `postgres` | sessions in PostgreSQL |
//! | `mysql` | sessions in MySQL or MariaDB |
//! | `redis` | sessions in Redis or Valkey: one server, Sentinel or Cluster |
//! | `redis-tls` | TLS for `redis` |
//! | `conformance` | the test suite for stores, to run on one of your own |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod id;
pub mod store;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod changes;
mod claims;
mod config;
mod cookie;
mod engine;
mod error;
mod expiry;
mod field;
mod key;
mod lifecycle;
mod limits;
mod record;
mod schema;
mod session;
mod threads;
mod value;
mod web;

pub use poem_session_macros::{SessionData, session};

pub use crate::{
    config::{IdSource, SessionConfig, SiteData},
    cookie::{CookieConfig, SameSite},
    engine::SessionLock,
    error::{
        BuildError, ExtractError, GetError, KeyClashError, LoadError, LockError, OpenError,
        RequestError, SaveError, SetError, UpdateError,
    },
    expiry::TouchPolicy,
    field::Field,
    id::{PublicId, SessionId},
    key::{Absence, Defaulted, Key, Optional, SessionValue},
    session::{DataSet, Session, SessionData, Sweeper},
    web::{Sessions, SessionsBuilder, SessionsEndpoint},
};
