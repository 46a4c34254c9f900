//! Addresses of stores. An input is an address.
//!
//! Nothing is connected to: only what is refused before that is asked for.

use futures_util::FutureExt as _;
use poem_session::store::{StoreErrorKind, connect};
use sqlx::{mysql::MySqlConnectOptions, postgres::PgConnectOptions};

use crate::store::is_address_of_redis;

/// What inputs have where a secret would be.
const SECRET: &str = "hunter2";

pub(crate) fn check(input: &[u8]) {
    let Ok(url) = std::str::from_utf8(input) else {
        return;
    };
    let Some((scheme, _)) = url.split_once(':') else {
        return is_refused(url);
    };
    let family = scheme.split_once('+').map_or(scheme, |(family, _)| family);
    let would_be_opened = match family {
        // Files that any path may name.
        "sqlite" => true,
        "memory" => matches!(url, "memory:" | "memory://"),
        "postgres" | "postgresql" => url.parse::<PgConnectOptions>().is_ok(),
        "mysql" | "mariadb" => url.parse::<MySqlConnectOptions>().is_ok(),
        "redis" | "valkey" => is_address_of_redis(url),
        // What the store is compiled with is not what is asked here.
        "rediss" | "valkeys" => !cfg!(feature = "redis-tls") || is_address_of_redis(url),
        _ => false,
    };
    if !would_be_opened {
        is_refused(url);
    }
}

fn is_refused(url: &str) {
    let answer = connect(url).now_or_never();
    let error = answer
        .expect("nothing is waited for")
        .expect_err("what cannot be understood is refused");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    // A word before `://` is a scheme, which is named.
    let scheme_is_secret = url
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.contains(SECRET));
    let mut said = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        said = format!("{said} {error} {error:?}");
        cause = error.source();
    }
    assert!(scheme_is_secret || !said.contains(SECRET), "{said}");
}
