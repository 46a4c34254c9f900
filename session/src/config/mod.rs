//! [`SessionConfig`]: the settings, their defaults and their checks.

mod id_source;
mod site_data;

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

pub(crate) use self::id_source::CustomIdSource;
pub use self::{id_source::IdSource, site_data::SiteData};
use crate::{
    cookie::CookieConfig,
    error::BuildError,
    expiry::{Expiry, TouchPolicy},
    limits::Limits,
    store::MAX_RECORD,
};

/// The settings that are plain data. They can be loaded from any serde source and passed to
/// [`SessionsBuilder::config`](crate::SessionsBuilder::config).
///
/// Durations are texts such as `"30m"`, `"12h"` or `"1d 6h"`. `"none"` turns the absolute timeout or the
/// rotation off. Unknown names are refused.
///
/// ```
/// # use poem_session::{SessionConfig, Sessions, store::MemoryStore};
/// let config: SessionConfig = serde_json::from_str(r#"{
///     "idle_timeout": "20m",
///     "absolute_timeout": "8h",
///     "cookie": { "name": "sid", "same_site": "strict" },
///     "id_source": ["cookie", { "header": "X-Session-Id" }]
/// }"#).unwrap();
/// let sessions = Sessions::builder(MemoryStore::new()).config(config).build()?;
/// # Ok::<(), poem_session::BuildError>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SessionConfig {
    /// How long a session lives without being used. Default 30 minutes. A shorter timeout also applies to existing
    /// sessions. A longer one applies to a session from its next use on.
    ///
    /// OWASP Session Management Cheat Sheet, "Idle Timeout": 2–5 minutes for high-value applications, 15–30
    /// for low-risk ones.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// How long a session lives at most, from its creation or its last [`reset`](crate::Session::reset),
    /// however much it is used. Default 30 days; `None`, in a file `"none"`, is no limit. A limit that is added
    /// or lowered later also ends sessions that exist.
    ///
    /// NIST SP 800-63B-4, section 2.1.3: at most 30 days at AAL1. OWASP Session Management Cheat Sheet, "Absolute
    /// Timeout": 4–8 hours for an office day.
    #[serde(deserialize_with = "some_duration")]
    pub absolute_timeout: Option<Duration>,
    /// How long a session lives without being used while it has held nothing but flash values, if that is
    /// shorter than its idle timeout. Default 5 minutes.
    ///
    /// A failed sign-in that only leaves a notice for the next page begins such a session. It should not take
    /// space in the store for the whole idle timeout. Once another value is set, the idle timeout applies.
    #[serde(deserialize_with = "duration")]
    pub flash_timeout: Duration,
    /// How often the use of an unchanged session is written to the store: `"throttled"`, `"on_change"` or a
    /// duration. Default `"throttled"`, once in a tenth of the idle timeout.
    #[serde(deserialize_with = "touch")]
    pub touch: TouchPolicy,
    /// The cookie that carries the id.
    pub cookie: CookieConfig,
    /// The data that the browser is asked to clear, beside the cookie, when a request has
    /// [destroyed](crate::Session::destroy) its session, as in `["cache", "storage"]`. Default: none. Browsers
    /// obey over HTTPS. A `Clear-Site-Data` header of the handler's own is kept.
    ///
    /// ASVS 5.0 14.3.1: private data is cleared from the client when the session ends.
    pub clear_site_data: Vec<SiteData>,
    /// The sources of the session id in a request. The first id whose session is live is used, of at most four.
    /// Default: the cookie.
    pub id_source: Vec<IdSource>,
    /// The largest record of a session, in bytes, 256 bytes to 8 MiB. Default 64 KiB. Setting a value that
    /// exceeds it returns an error.
    pub max_session_size: usize,
    /// The largest encoded value of one key, in bytes. Default 64 KiB. Setting a larger value returns an
    /// error.
    pub max_value_size: usize,
    /// The most keys of a session, those of all structs together. Default 256. Setting one more returns an
    /// error.
    pub max_keys: usize,
    /// The time limit of one call of the store. Default 5 seconds. A whole save, its waits for other requests of
    /// the session included, ends within twice this time.
    ///
    /// A response waits for a tenth of this time at most for a write that its handler has not asked for: the use of
    /// a session that was only read, and the lock for the rotation of an id. The use is then written without the
    /// response, which does not renew the cookie.
    #[serde(deserialize_with = "duration")]
    pub store_timeout: Duration,
    /// How often a save is attempted while other requests change the same session. Default 256.
    pub max_save_attempts: u32,
    /// How long after the end of a session new requests with its id are refused, so that requests which the client
    /// has sent at the same time cannot start another session in place of its newer one. Default 10 seconds.
    #[serde(deserialize_with = "duration")]
    pub retired_for: Duration,
    /// The longest time that a request takes, such as a slow upload. Default 24 hours. A request that began before
    /// its session ended is refused for so long. Until then, an ended session leaves a record of about 40 bytes.
    #[serde(deserialize_with = "duration")]
    pub max_request_time: Duration,
    /// The age at which the id of a session is rotated, at the next request. Default: never. A locked session
    /// keeps its id until it is unlocked. A [regenerated](crate::Session::regenerate) id is new. The id of a client
    /// that has it from a read-only [`IdSource`] is not rotated.
    ///
    /// OWASP Session Management Cheat Sheet, "Renewal Timeout".
    #[serde(deserialize_with = "some_duration")]
    pub rotate_every: Option<Duration>,
    /// How long a new request may use the old id after a rotation. Default 30 seconds. The response to such a
    /// request sends the newest id again, as the response that sent it first may be lost. The clocks of the servers
    /// may differ by this time.
    #[serde(deserialize_with = "duration")]
    pub rotation_grace: Duration,
    /// How long a request waits for the lock of a session. Default 10 seconds.
    #[serde(deserialize_with = "duration")]
    pub lock_timeout: Duration,
    /// How long a session stays locked after the process that holds the lock has crashed. Default 15 seconds, at
    /// least one and a half times [`store_timeout`](Self::store_timeout). A running holder renews its lease each third
    /// of this time, so the clocks of the servers may differ by half of it.
    #[serde(deserialize_with = "duration")]
    pub lock_lease: Duration,
    /// How often [`Session::ended`](crate::Session::ended) asks the store whether another process has ended
    /// the session. Default 5 seconds.
    #[serde(deserialize_with = "duration")]
    pub end_poll_interval: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_mins(30),
            absolute_timeout: Some(Duration::from_hours(30 * 24)),
            flash_timeout: Duration::from_mins(5),
            touch: TouchPolicy::default(),
            cookie: CookieConfig::default(),
            clear_site_data: Vec::new(),
            id_source: vec![IdSource::Cookie],
            max_session_size: 64 * 1024,
            max_value_size: 64 * 1024,
            max_keys: 256,
            store_timeout: Duration::from_secs(5),
            max_save_attempts: 256,
            retired_for: Duration::from_secs(10),
            max_request_time: Duration::from_hours(24),
            rotate_every: None,
            rotation_grace: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            lock_lease: Duration::from_secs(15),
            end_poll_interval: Duration::from_secs(5),
        }
    }
}

impl SessionConfig {
    /// Refuses settings that have no meaning or contradict each other.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.check_durations()?;
        self.check_numbers()?;
        self.check_contradictions()?;
        self.cookie.check()
    }

    fn check_durations(&self) -> Result<(), BuildError> {
        let never = Duration::MAX;
        let durations = [
            ("idle_timeout", self.idle_timeout),
            ("absolute_timeout", self.absolute_timeout.unwrap_or(never)),
            ("flash_timeout", self.flash_timeout),
            ("store_timeout", self.store_timeout),
            ("retired_for", self.retired_for),
            ("max_request_time", self.max_request_time),
            ("rotation_grace", self.rotation_grace),
            ("lock_timeout", self.lock_timeout),
            ("lock_lease", self.lock_lease),
            ("end_poll_interval", self.end_poll_interval),
        ];
        for (setting, duration) in durations {
            if duration < Duration::from_millis(1) {
                let why = "must be at least a millisecond";
                return Err(BuildError::Invalid { setting, why });
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), BuildError> {
        let numbers = [
            (
                (256..=MAX_RECORD).contains(&self.max_session_size),
                "max_session_size",
                "must be 256 bytes to 8 MiB",
            ),
            (
                self.max_value_size > 0,
                "max_value_size",
                "must be at least 1 byte",
            ),
            (self.max_keys > 0, "max_keys", "must be at least 1"),
            (
                self.max_save_attempts > 0,
                "max_save_attempts",
                "must be at least 1",
            ),
        ];
        for (is_valid, setting, why) in numbers {
            if !is_valid {
                return Err(BuildError::Invalid { setting, why });
            }
        }
        Ok(())
    }

    fn check_contradictions(&self) -> Result<(), BuildError> {
        let absolute = self.absolute_timeout;
        let rotate_every = self.rotate_every;
        let touch = match self.touch {
            TouchPolicy::AtMostEvery(interval) => Some(interval),
            TouchPolicy::Throttled | TouchPolicy::OnChange => None,
        };
        let contradictions = [
            (
                absolute.is_some_and(|absolute| absolute < self.idle_timeout),
                ("idle_timeout", "absolute_timeout"),
                "a session would end before it could be idle for so long",
            ),
            (
                touch.is_some_and(|interval| interval >= self.idle_timeout),
                ("touch", "idle_timeout"),
                "a session in use would expire before its use is written",
            ),
            (
                self.lock_lease < self.store_timeout.saturating_mul(3) / 2,
                ("lock_lease", "store_timeout"),
                "a lease could expire while one call of the store renews it",
            ),
            (
                rotate_every.is_some_and(|every| every <= self.rotation_grace),
                ("rotate_every", "rotation_grace"),
                "an id would be rotated again while the id before it is still valid",
            ),
        ];
        for (is_contradiction, (first, second), why) in contradictions {
            if is_contradiction {
                return Err(BuildError::Contradiction { first, second, why });
            }
        }
        Ok(())
    }

    pub(crate) fn expiry(&self) -> Expiry {
        Expiry {
            idle: self.idle_timeout,
            absolute: self.absolute_timeout,
            flash: self.flash_timeout,
            touch: self.touch,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_session_size: self.max_session_size,
            max_value_size: self.max_value_size,
            max_keys: self.max_keys,
            with_rotation: self.rotate_every.is_some(),
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
        .filter(|text| text != "none")
        .map(|text| parse_duration(&text))
        .transpose()
}

fn touch<'de, D: Deserializer<'de>>(source: D) -> Result<TouchPolicy, D::Error> {
    match &*String::deserialize(source)? {
        "throttled" => Ok(TouchPolicy::Throttled),
        "on_change" => Ok(TouchPolicy::OnChange),
        text => parse_duration(text).map(TouchPolicy::AtMostEvery),
    }
}
