//! Random numbers of the operating system: ids, owners of leases, and versions.
//!
//! These numbers must differ between all processes that ever run. A generator inside the process keeps a state,
//! and two virtual machines that are restored from one snapshot have the same state, so they would draw the same
//! numbers. The kernel mixes new random data in when it runs on a restored machine, so this module asks the kernel
//! each time. A call costs a fraction of a microsecond.

use rand::{TryRng as _, rngs::SysRng};

/// Returns random bytes.
///
/// # Panics
/// If the operating system has no random numbers.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system has random numbers");
    bytes
}
