//! The settings of sessions as data, to be loaded from a file or the environment.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::{
    cookie::CookieConfig,
    engine::{Limits, Rotation},
    error::BuildError,
    expiry::{Expiry, Touch},
    store::MAX_RECORD,
    web::{site_data::SiteData, source::IdSource},
};

/// The settings that need no code, with their defaults: from any serde source, to be handed to
/// [`SessionsBuilder::config`](crate::SessionsBuilder::config).
///
/// Durations are texts such as `"30m"`, `"12h"` or `"1d 6h"`. Unknown names are refused.
///
/// ```
/// # use poem_session::{SessionConfig, Sessions, store::MemoryStore};
/// let config: SessionConfig = serde_json::from_str(r#"{
///     "idle_timeout": "20m",
///     "absolute_timeout": "8h",
///     "cookie": { "name": "sid", "same_site": "strict" },
///     "id_from": ["cookie", { "header": "X-Session-Id" }]
/// }"#).unwrap();
/// let sessions = Sessions::builder(MemoryStore::new()).config(config).build()?;
/// # Ok::<(), poem_session::BuildError>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SessionConfig {
    /// How long a session lives without being used. Default 30 minutes.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// How long a session lives at most, however much it is used. Default: no limit.
    #[serde(deserialize_with = "some_duration")]
    pub absolute_timeout: Option<Duration>,
    /// How often the use of a session is written down: `"tenth"`, `"on_change"` or a duration. Default a
    /// tenth of the idle timeout.
    #[serde(deserialize_with = "touch")]
    pub touch: Touch,
    /// The cookie.
    pub cookie: CookieConfig,
    /// What browsers are asked to forget at a sign-out, as in `["cache", "storage"]`. Default nothing.
    pub clear_site_data: Vec<SiteData>,
    /// Where a request may carry its session id, first match first. Default the cookie alone.
    pub id_from: Vec<IdSource>,
    /// The largest record, in bytes. Default 64 KiB.
    pub max_size: usize,
    /// The largest value of one key, in bytes as it is stored. Default 64 KiB.
    pub max_value_size: usize,
    /// The most keys that a session may have, those of all structs together. Default 256.
    pub max_keys: usize,
    /// The time limit of one call of the store. Default 5 seconds.
    #[serde(deserialize_with = "duration")]
    pub store_timeout: Duration,
    /// How often a write is tried while other requests change the same session. Default 256.
    pub max_attempts: u32,
    /// How long the id of an ended session is remembered, so that late requests that carry it are refused
    /// and cannot begin another session in place of the client's newer one. Default 10 seconds.
    #[serde(deserialize_with = "duration")]
    pub retired_for: Duration,
    /// How often a session's id is renewed by itself. Default: never.
    #[serde(deserialize_with = "some_duration")]
    pub rotate_every: Option<Duration>,
    /// How long the old id leads to the session still, after it was renewed by itself. Default 30 seconds.
    #[serde(deserialize_with = "duration")]
    pub rotation_grace: Duration,
    /// How long a request waits for a session that another one has locked. Default 10 seconds.
    #[serde(deserialize_with = "duration")]
    pub lock_wait: Duration,
    /// How long a session stays locked after its holder has crashed. Default 15 seconds.
    #[serde(deserialize_with = "duration")]
    pub lock_lease: Duration,
    /// How often [`Session::ended`](crate::Session::ended) looks whether another process has ended the
    /// session. Default 5 seconds.
    #[serde(deserialize_with = "duration")]
    pub watch_every: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_mins(30),
            absolute_timeout: None,
            touch: Touch::default(),
            cookie: CookieConfig::default(),
            clear_site_data: Vec::new(),
            id_from: vec![IdSource::Cookie],
            max_size: 64 * 1024,
            max_value_size: 64 * 1024,
            max_keys: 256,
            store_timeout: Duration::from_secs(5),
            max_attempts: 256,
            retired_for: Duration::from_secs(10),
            rotate_every: None,
            rotation_grace: Duration::from_secs(30),
            lock_wait: Duration::from_secs(10),
            lock_lease: Duration::from_secs(15),
            watch_every: Duration::from_secs(5),
        }
    }
}

impl SessionConfig {
    /// Refuses what has no meaning or contradicts itself.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let positive = [
            ("idle_timeout", self.idle_timeout),
            (
                "absolute_timeout",
                self.absolute_timeout.unwrap_or(Duration::MAX),
            ),
            ("store_timeout", self.store_timeout),
            ("retired_for", self.retired_for),
            ("rotation_grace", self.rotation_grace),
            ("lock_wait", self.lock_wait),
            ("lock_lease", self.lock_lease),
            ("watch_every", self.watch_every),
        ];
        for (setting, duration) in positive {
            if duration < Duration::from_millis(1) {
                return Err(BuildError::Invalid {
                    setting,
                    why: "must be at least a millisecond",
                });
            }
        }
        for (fits, setting, why) in [
            (
                (256..=MAX_RECORD).contains(&self.max_size),
                "max_size",
                "must be 256 bytes to 8 MiB",
            ),
            (
                self.max_value_size > 0,
                "max_value_size",
                "must be at least 1 byte",
            ),
            (self.max_keys > 0, "max_keys", "must be at least 1"),
            (self.max_attempts > 0, "max_attempts", "must be at least 1"),
        ] {
            if !fits {
                return Err(BuildError::Invalid { setting, why });
            }
        }
        if self
            .absolute_timeout
            .is_some_and(|absolute| absolute < self.idle_timeout)
        {
            return Err(BuildError::Contradiction {
                first: "idle_timeout",
                second: "absolute_timeout",
                why: "the session would end before it could be idle for so long",
            });
        }
        if matches!(self.touch, Touch::Every(interval) if interval >= self.idle_timeout) {
            return Err(BuildError::Contradiction {
                first: "touch",
                second: "idle_timeout",
                why: "a session in use would end before its use is written down",
            });
        }
        if self
            .rotate_every
            .is_some_and(|every| every <= self.rotation_grace)
        {
            return Err(BuildError::Contradiction {
                first: "rotate_every",
                second: "rotation_grace",
                why: "an id would be renewed again while the one before it still leads to the session",
            });
        }
        self.cookie.check()
    }

    pub(crate) fn rotation(&self) -> Option<Rotation> {
        self.rotate_every.map(|every| Rotation {
            every,
            grace: self.rotation_grace,
        })
    }

    pub(crate) fn expiry(&self) -> Expiry {
        Expiry {
            idle: self.idle_timeout,
            absolute: self.absolute_timeout,
            touch: self.touch,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_size: self.max_size,
            max_value_size: self.max_value_size,
            max_keys: self.max_keys,
            store_timeout: self.store_timeout,
            max_attempts: self.max_attempts,
            retired_for: self.retired_for,
            lock_wait: self.lock_wait,
            lock_lease: self.lock_lease,
            watch_every: self.watch_every,
        }
    }
}

fn parse_duration<E: de::Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text)
        .map_err(|_| E::custom("expected a duration such as \"30m\", \"12h\" or \"1d 6h\""))
}

fn duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(source)?)
}

fn some_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    Option::<String>::deserialize(source)?
        .map(|text| parse_duration(&text))
        .transpose()
}

fn touch<'de, D: Deserializer<'de>>(source: D) -> Result<Touch, D::Error> {
    match &*String::deserialize(source)? {
        "tenth" => Ok(Touch::Tenth),
        "on_change" => Ok(Touch::OnChange),
        text => parse_duration(text).map(Touch::Every),
    }
}
