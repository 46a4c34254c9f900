//! The part of the crate rand that poem-session uses, over the generator of shuttle: a replayed schedule draws
//! the same numbers.

use std::convert::Infallible;

pub use rand::{Rng, TryRng};
use rand::{
    RngExt as _,
    distr::{Distribution, StandardUniform},
};
use shuttle::rand::RngCore as _;

/// The generator of shuttle.
#[derive(Debug)]
pub struct ShuttleRng(shuttle::rand::rngs::ThreadRng);

impl TryRng for ShuttleRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// The generator of the current execution.
pub fn rng() -> ShuttleRng {
    ShuttleRng(shuttle::rand::thread_rng())
}

/// A random value.
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    rng().random()
}

/// The generators.
pub mod rngs {
    use std::convert::Infallible;

    use super::{TryRng, rng};

    /// The generator of shuttle, in place of that of the operating system.
    #[derive(Debug, Clone, Copy)]
    pub struct SysRng;

    impl TryRng for SysRng {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            rng().try_next_u32()
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            rng().try_next_u64()
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            rng().try_fill_bytes(bytes)
        }
    }
}
