//! The limit of the memory that an input may cause to be allocated.

use std::{
    alloc::System,
    sync::{Mutex, PoisonError},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts allocated bytes, whether they are used or not. An allocation for a length that a hostile value claims
/// counts in full, even if the operating system never provides the memory.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The allocator counts for the whole process, so only one check runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The bytes that may be allocated for an input, freed or not: a base for an application and its requests, and a
/// multiple of the input's length.
const BASE: usize = 4 << 20;
const PER_BYTE: usize = 4 << 10;

/// Runs `action`, which handles an input of `len` bytes.
///
/// # Panics
/// If `action` allocates more than the limit for this length.
pub fn bounded(len: usize, action: impl FnOnce()) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let region = Region::new(ALLOCATOR);
    action();
    let allocated = region.change().bytes_allocated;
    let limit = BASE + PER_BYTE * len;
    assert!(
        allocated <= limit,
        "{allocated} bytes allocated for an input of {len} bytes; the limit is {limit}"
    );
}
