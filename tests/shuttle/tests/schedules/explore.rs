//! Runs one test under many schedules.
//!
//! | variable | |
//! |---|---|
//! | `POEM_SESSION_SCHEDULES` | the number of schedules of each kind; 1000 if it is not set |
//! | `POEM_SESSION_SEED` | the seed of the schedules; 0 if it is not set |
//! | `POEM_SESSION_REPLAY` | the file of a failed schedule, to replay that one alone |

use std::{env, future::Future};

use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    scheduler::{
        DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
        UncontrolledNondeterminismCheckScheduler,
    },
};

/// The default number of schedules of each kind.
const SCHEDULES: usize = 1000;
/// The most steps of one schedule. A schedule that takes more is a livelock.
const STEPS: usize = 50_000;
/// The numbers of priority changes in a schedule. Most faults need one or two.
const PREEMPTIONS: [usize; 2] = [2, 4];

/// Runs a test under random schedules. Some choose a task at random at each step. Others give the tasks
/// priorities, and change the priorities in a few places.
pub(crate) fn explore<F, Fut>(test: F)
where
    F: Fn() -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = ()>,
{
    if let Ok(file) = env::var("POEM_SESSION_REPLAY") {
        let replay = ReplayScheduler::new_from_file(file);
        run(replay.expect("a file with a schedule"), test);
        return;
    }
    let schedules = number("POEM_SESSION_SCHEDULES").map_or(SCHEDULES, |n| {
        usize::try_from(n).expect("a number of schedules")
    });
    let seed = number("POEM_SESSION_SEED").unwrap_or(0);
    run(RandomScheduler::new_from_seed(seed, schedules), test);
    for depth in PREEMPTIONS {
        let schedules = schedules / PREEMPTIONS.len();
        run(PctScheduler::new_from_seed(seed, depth, schedules), test);
    }
}

/// Runs a test under every possible schedule. Returns their number.
pub(crate) fn exhaust<F, Fut>(test: F) -> usize
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()>,
{
    run(DfsScheduler::new(None, false), test)
}

/// Runs a test under random schedules, each twice. Fails if the second run differs from the first.
pub(crate) fn repeat<F, Fut>(schedules: usize, test: F)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()>,
{
    let random = RandomScheduler::new_from_seed(0, schedules);
    run(UncontrolledNondeterminismCheckScheduler::new(random), test);
}

fn run<F, Fut>(scheduler: impl Scheduler + 'static, test: F) -> usize
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()>,
{
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::File(Some(env!("CARGO_TARGET_TMPDIR").into()));
    Runner::new(scheduler, config).run(move || shuttle::future::block_on(test()))
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect(variable))
}
