//! Trying many schedules of one test.
//!
//! | variable | |
//! |---|---|
//! | `POEM_SESSION_SCHEDULES` | how many schedules a test tries of each kind; few unless told otherwise |
//! | `POEM_SESSION_SEED` | where the choice of schedules begins; the same ones each time unless told otherwise |
//! | `POEM_SESSION_REPLAY` | the file of a schedule that failed, which is run alone |

use std::{env, future::Future};

use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    scheduler::{
        DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
        UncontrolledNondeterminismCheckScheduler,
    },
};

/// Schedules of each kind in the ordinary run of the tests.
const SCHEDULES: usize = 1000;
/// More than any schedule takes in which somebody gets on.
const STEPS: usize = 50_000;
/// In how many places a schedule leaves its order of priorities. Most faults show with one or two.
const PREEMPTIONS: [usize; 2] = [2, 4];

/// Runs a test under random schedules: some choose a task at each step, others give tasks priorities and
/// change them in a few places.
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

/// Runs a test under every schedule there is. Answers how many those are.
pub(crate) fn exhaust<F, Fut>(test: F) -> usize
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()>,
{
    run(DfsScheduler::new(None, false), test)
}

/// Runs a test under random schedules, each twice. Fails where the second time went another way.
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
