//! What an input may cost.

use std::{
    alloc::System,
    sync::{Mutex, PoisonError},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts what is asked for, whether it is ever touched or not: the length that a hostile value claims is
/// seen here even where the operating system would shrug at it.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The count is of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// All that may be allocated for an input, given back or not: an application and its requests, and then
/// a multiple of the input's length.
const BASE: usize = 4 << 20;
const PER_BYTE: usize = 4 << 10;

/// Does it, as for an input of `len` bytes.
///
/// # Panics
/// Where that has allocated more than such an input may.
pub fn bounded(len: usize, action: impl FnOnce()) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let region = Region::new(ALLOCATOR);
    action();
    let allocated = region.change().bytes_allocated;
    let limit = BASE + PER_BYTE * len;
    assert!(
        allocated <= limit,
        "{allocated} bytes allocated for an input of {len} bytes, which may take {limit}"
    );
}
