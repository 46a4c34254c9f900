//! Typed, declarative HTTP sessions for [Poem](https://docs.rs/poem).
//!
//! Derive [`SessionData`] on a struct and put [`#[session]`](macro@session) on a handler. The compiler then
//! checks every session key: a typo, a key of another struct and a value of another type do not compile.
//! Parallel requests do not lose each other's changes, a destroyed session cannot be revived, and a visitor without a
//! session costs no store access and gets no cookie until a value is set.
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
//! The fields of the struct are session keys. Each field is an `Option<T>`, which is `None` until it is set, or has
//! a `#[session(default)]`. Any type that serde can serialize and deserialize is supported, as long as its values
//! nest lists and maps at most 128 deep.
//!
//! ```
//! use poem_session::SessionData;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Item { product: u32, quantity: u32 }
//!
//! #[derive(SessionData)]
//! #[session(namespace = "shop")]      // keys are stored as `shop.cart`, so the struct can be renamed
//! struct Shop {
//!     /// Who is signed in.
//!     user: Option<String>,
//!     #[session(default)]
//!     cart: Vec<Item>,
//!     #[session(flash)]               // removed when it is read
//!     notice: Option<String>,
//! }
//! ```
//!
//! For a field `cart`, the derive generates the constant `Shop::CART`, and for [`Session<Shop>`](Session) the
//! methods `cart()`, `set_cart(value)`, `update_cart(closure)`, `remove_cart()` and `take_cart()`. They need no
//! import and have the visibility of the field.
//!
//! | on the struct | |
//! |---|---|
//! | `namespace = "shop"` | the first part of the keys; the default is the name of the struct in snake case |
//! | `crate = path` | the path of this crate, if it is not `::poem_session` |
//!
//! | on a field | |
//! |---|---|
//! | `default`, `default = expr` | the value that is read if nothing is stored |
//! | `flash` | reading the value removes it |
//! | `rename = "name"` | the second part of the key, in place of the name of the field |
//! | `alias = "old"` | an older name, which is read if nothing is stored under the new one; `"other.old"` is a name in another namespace |
//! | `skip` | the field is not stored; it is `Default::default()` in the struct |
//!
//! # Handlers
//!
//! `#[session]` turns a function into an endpoint, as Poem's `#[handler]` does, and adds these kinds of parameters:
//!
//! | parameter | |
//! |---|---|
//! | `shop: Session<Shop>` | the session; a value is decoded when it is read |
//! | `shop: Shop` | a snapshot of the struct, read-only, so it cannot be `mut` |
//! | `shop: &mut Shop` | the struct; changed fields are written back. If another request has changed one of them meanwhile, the response is 409: use `update_*` or `exclusive` for a field that requests change at the same time |
//! | `#[key(Shop::USER)] user: String` | one key; a request without it is rejected |
//! | `#[key(Shop::USER)] user: Option<String>` | one key, or `None` |
//! | `#[key(Shop::CART)] cart: Vec<u32>` | one key with a default, which is never absent, so it cannot be an `Option` |
//! | any Poem extractor | as under `#[handler]` |
//!
//! `Session<Shop>` and `Shop` are extractors, so they also work under `#[handler]` and in `#[OpenApi]` methods.
//!
//! | option | |
//! |---|---|
//! | `or_redirect = "/login"` | redirects a request without a `#[key]` there; the default is to reject it with 401 |
//! | `regenerate` | the session gets a new id when the handler has succeeded |
//! | `destroy` | the session is destroyed when the handler has succeeded; values that the handler has set start the next session |
//! | `passive` | the request does not count as use of the session and consumes no flash value, as for a poll |
//! | `exclusive` | requests of one session run one at a time, over all processes; the session is locked before any parameter is extracted |
//! | `idle_timeout = "2h"` | the session gets its own idle timeout |
//!
//! A handler succeeds if its response status is below 400.
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
//!     // Runs again on the newer cart if another request has changed it, so that nothing is lost.
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
//! #[session(regenerate)]              // a new id when rights change, against session fixation
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
//! **Loading.** The session is loaded once in a request, when a handler first extracts it. A handler that extracts
//! none does not access the store. A malformed id never reaches the store, and an unknown or expired id is never
//! adopted. A request can bring several ids, such as two cookies of one name. The first one whose session is live
//! is used, of at most four.
//!
//! **Saving.** The session is saved after the handler and before the response is sent, in one write, and only if it
//! has changed. The cookie is sent only after the write has succeeded. A 5xx response or a panic saves nothing. An
//! `Err` that becomes a 3xx or 4xx response is saved. [`Session::save`] saves at once, for streams and WebSockets.
//!
//! **Caches.** If the handler has looked at the session, the response has `Vary: Cookie`, with the names of all
//! headers that can carry an id. A response that carries an id is `no-store`, unless the handler has chosen
//! `private` or `no-store`: `public` is replaced, and `CDN-Cache-Control` and `Surrogate-Control` are removed. Put
//! Poem's `Cors` inside the sessions: it replaces the `Vary` header of the responses that it receives.
//!
//! **Parallel requests of one session.** A write names the version of the record that it was made from. If another
//! request has written first, the changed *fields* are merged with the newer record, and `update_*` closures run
//! again on the newer value. For two `set_*` of one field, the last wins. Fields that were not changed are not
//! written.
//!
//! **Ended sessions.** A request that is running when its session is destroyed, regenerated or revoked elsewhere
//! cannot revive the session or replace the client's newer cookie: its changes are refused with
//! [`SaveError::Ended`], a 409, however long it runs ([`SessionConfig::max_request_time`]). The same holds for
//! requests that arrive with the old id during the next seconds ([`SessionConfig::retired_for`]).
//!
//! **Expiry.** A session expires at the earlier of its last use plus the idle timeout and its creation plus the
//! absolute timeout. The store's expiry and the cookie's `Max-Age` are the same moment. Reading and
//! changing count as use, which moves both at most once in a tenth of the idle timeout ([`TouchPolicy`]). A session that has held nothing but
//! flash values, as after a sign-in that failed, expires earlier ([`SessionConfig::flash_timeout`]). If an
//! application is started with shorter timeouts, they apply to existing sessions as well.
//!
//! **Passive requests.** A poll or a prefetch shows no page to the visitor, so it does not count as use: the expiry
//! does not move, and a flash value that it reads stays for the next page. Its other changes are saved. The
//! requests by which a browser loads a page ahead of time (`Sec-Purpose: prefetch`) are passive; write
//! `#[session(passive)]` or [`SessionsBuilder::passive`] for others. A HEAD request is treated as a GET request.
//!
//! **Other sites.** A form of another site arrives without the cookie, and a session that its handler begins would
//! replace the one in the browser. A request that the browser marks as cross-site and that brings no live id is not
//! given a session by an unsafe method: the response is a 403 ([`SaveError::CrossSite`],
//! [`SessionsBuilder::allow_cross_site`]). A CORS preflight never loads or begins a session: the handler finds an
//! empty one, and its changes are dropped.
//!
//! **At rest.** The key in the store is the SHA-256 of the id ([`PublicId`]), so a leaked store contains no usable
//! id. A record is one MessagePack map from `namespace.field` to value, readable from any language. A value that
//! does not decode is an error that names its key, and is never treated as absent.
//!
//! **Faults.** If the store is down, slow, full or read-only, a request that needs it gets a 503 without details, and
//! the client keeps its cookie. Sessions work again when the store does (see [`store`]). A user can sign out of a
//! session even if a memory store or Redis is full. No error text, log line or
//! `Debug` shows an id or a value.
//!
//! # Errors and nested middlewares
//!
//! Handlers of errors, such as `catch_error` and `catch_all_error`, belong *inside* of the sessions:
//!
//! ```
//! # use poem::{EndpointExt, Route, error::NotFoundError};
//! # use poem_session::{Sessions, store::MemoryStore};
//! # let sessions = Sessions::builder(MemoryStore::new()).build()?;
//! let app = Route::new()
//!     .catch_error(|_: NotFoundError| async { "no such page" })
//!     .with(sessions);
//! # Ok::<(), poem_session::BuildError>(())
//! ```
//!
//! A response that such a handler makes outside of the sessions has no cookie, so a visitor whose id has changed
//! would be signed out. Poem's errors have no headers: if a cookie is to be sent with an error, or caches may store
//! the response to it (as for 404), the middleware turns the error into a response. Handlers outside of the
//! sessions then still find its status and text, and no longer its type. [`SessionsBuilder::on_error`] makes the
//! pages of the sessions' own errors.
//!
//! Middlewares can be nested, if each has a cookie or a header of its own: a handler gets the session of the
//! innermost one that [names its struct](SessionsBuilder::data). If one of them fails, the response still has the
//! cookies of the others. A clone of a middleware that is there twice is one session. Two *different* middlewares
//! that send ids in one cookie are refused at the first request, with [`ExtractError::CarrierClash`].
//!
//! # Limits
//!
//! | limit | default | setting | beyond it |
//! |---|---|---|---|
//! | size of one value | 64 KiB | [`max_value_size`](SessionConfig::max_value_size) | [`SetError::ValueTooLarge`] when it is set, 413 |
//! | size of one session | 64 KiB | [`max_session_size`](SessionConfig::max_session_size) | [`SetError::TooLarge`] when a value is set, [`SaveError::TooLarge`] after a merge, 413 |
//! | keys of one session | 256 | [`max_keys`](SessionConfig::max_keys) | [`SetError::TooManyKeys`], [`SaveError::TooManyKeys`], 413 |
//! | sessions in memory | 1,048,576 | [`capacity`](store::MemoryStoreBuilder::capacity) | a new session is refused with 503, or another one is evicted ([`OnFull`](store::OnFull)) |
//! | bytes of all sessions in memory | 512 MiB | [`max_bytes`](store::MemoryStoreBuilder::max_bytes) | the same, also for a change that enlarges a session |
//! | a call of the store | 5 s | [`store_timeout`](SessionConfig::store_timeout) | 503 |
//! | a save, waiting included | 10 s | twice [`store_timeout`](SessionConfig::store_timeout) | 503 |
//! | attempts of a save | 256 | [`max_save_attempts`](SessionConfig::max_save_attempts) | [`SaveError::Contended`], 503 |
//! | waiting for a lock | 10 s | [`lock_timeout`](SessionConfig::lock_timeout) | [`LockError::TimedOut`], 503 |
//! | a lock whose holder has crashed | 15 s | [`lock_lease`](SessionConfig::lock_lease) | the lease expires; the holder can no longer write ([`SaveError::LeaseLost`], 409) |
//!
//! A record of more than 8 MiB ([`store::MAX_RECORD`]) in a database or in Redis is not loaded. It is an error,
//! [`Corrupt`](store::StoreErrorKind::Corrupt). No memory is reserved for a length that a record only claims.
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
//! | `postgres-tls`, `mysql-tls` | TLS for `postgres` and `mysql` |
//! | `conformance` | the test suite for stores, to run on your own store |
//!
//! No feature is enabled by default.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
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
mod finish;
mod id;
mod key;
mod lifecycle;
mod limits;
mod random;
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
        ReloadError, RequestError, SaveError, SetError, UpdateError,
    },
    expiry::TouchPolicy,
    field::Field,
    id::{ParsePublicIdError, ParseSessionIdError, PublicId, SessionId},
    key::{Absence, Defaulted, Key, Optional, SessionValue},
    session::{DataSet, Session, SessionData, Sweeper},
    web::{Sessions, SessionsBuilder, SessionsEndpoint},
};
