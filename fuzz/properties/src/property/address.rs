//! Addresses of stores. An input is an address.
//!
//! The property opens no connection: it tests only addresses that are refused before that.

use futures_util::FutureExt as _;
use poem_session::store::{StoreErrorKind, connect};
use sqlx::{mysql::MySqlConnectOptions, postgres::PgConnectOptions};

use crate::store::is_address_of_redis;

/// The password in the inputs.
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
        // Any path may be the name of a file.
        "sqlite" => true,
        "memory" => matches!(url, "memory:" | "memory://"),
        "postgres" | "postgresql" => url.parse::<PgConnectOptions>().is_ok(),
        "mysql" | "mariadb" => url.parse::<MySqlConnectOptions>().is_ok(),
        "redis" | "valkey" => is_address_of_redis(url),
        // Without the feature, these addresses are refused because TLS is not compiled in.
        "rediss" | "valkeys" => !cfg!(feature = "redis-tls") || is_address_of_redis(url),
        _ => false,
    };
    if !would_be_opened {
        is_refused(url);
    }
}

fn is_refused(url: &str) {
    let result = connect(url).now_or_never();
    let error = result
        .expect("connect returns without waiting")
        .expect_err("the address is refused");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    // Errors show the scheme, the text before `://`.
    let scheme_is_secret = url
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.contains(SECRET));
    let mut shown = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        shown = format!("{shown} {error} {error:?}");
        cause = error.source();
    }
    assert!(scheme_is_secret || !shown.contains(SECRET), "{shown}");
}
