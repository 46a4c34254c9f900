//! Finds free ports on 127.0.0.1.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// The ports of the servers. Linux uses the ports from 32,768 on for outgoing connections. These ports and
/// those of the cluster bus, 10,000 above, are lower, so that a server can start again on its port.
const RANGE: std::ops::Range<u16> = 10_500..22_500;

/// The distance between the two ports of a Redis Cluster node.
pub(crate) const BUS: u16 = 10_000;

/// Returns a random port that [`is_free`]. Another test program may take it first, so that a caller must be
/// ready to try again.
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

/// Returns whether no program listens on a port and on its cluster bus port.
pub(crate) fn is_free(port: u16) -> bool {
    [port, port + BUS]
        .into_iter()
        .all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}
