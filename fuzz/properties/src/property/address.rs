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
        // The drivers ignore unknown parameters. The stores refuse them.
        "postgres" | "postgresql" => url.parse::<PgConnectOptions>().is_ok() && !names_secret(url),
        "mysql" | "mariadb" => url.parse::<MySqlConnectOptions>().is_ok() && !names_secret(url),
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
    // Errors show the scheme, the text before `://`, and the name of an unknown parameter, unless it may be the end
    // of a password.
    let scheme_is_secret = url
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.contains(SECRET));
    let parameter_is_secret = names_secret(url) && !query(url).contains('@');
    let mut shown = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        shown = format!("{shown} {error} {error:?}");
        cause = error.source();
    }
    let may_show = scheme_is_secret || parameter_is_secret;
    assert!(may_show || !shown.contains(SECRET), "{shown}");
}

/// Returns the parameters of an address.
fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

/// Returns whether the name of a parameter contains the password. No store knows such a parameter.
fn names_secret(url: &str) -> bool {
    let names = form_urlencoded::parse(query(url).as_bytes());
    names.into_iter().any(|(name, _)| name.contains(SECRET))
}
