//! Free ports on loopback.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// The ports that servers are started on. They and the cluster bus ports, 10,000 above, stay below
/// those that Linux gives to outgoing connections (from 32,768 on): a server that is down for a while
/// finds its port free again.
const RANGE: std::ops::Range<u16> = 10_500..22_500;

/// How far a Redis Cluster node's second port is from its first.
const BUS: u16 = 10_000;

/// A port that [`is_free`].
///
/// Random, because several test programs run at once; whoever starts a server is ready to try again,
/// because another program may take the port first.
pub(crate) fn free() -> u16 {
    let random = RandomState::new();
    (0_u32..1000)
        .map(|attempt| {
            let width = u64::from(RANGE.end - RANGE.start);
            let offset = random.hash_one(attempt) % width;
            RANGE.start + u16::try_from(offset).expect("it is below the width of the range")
        })
        .find(|port| is_free(*port))
        .expect("one of a thousand ports is free")
}

/// Whether nothing listens on a port, and nothing on its cluster bus port.
pub(crate) fn is_free(port: u16) -> bool {
    [port, port + BUS]
        .into_iter()
        .all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}
