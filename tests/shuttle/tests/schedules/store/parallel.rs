//! Parallel calls return what sequential calls would return.

use std::sync::Arc;

use poem_session::{
    clock::Timestamp,
    store::{
        LockOwner,
        Locked::{Acquired, Held},
        MemoryStore, SessionStore as _, Version, Write,
    },
};
use shuttle::{
    current::context_switches,
    future::spawn,
    rand::{Rng as _, thread_rng},
};

use super::{
    call::{Call, Key, NOW, PAST, after},
    history::{Event, Model, is_explained},
    is_counted,
};
use crate::explore::{exhaust, explore};

/// The record under a key before the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Expired,
    Live,
    /// Live and locked by owner 1.
    Locked,
}

use Before::{Expired, Live, Locked, Nothing};

/// The records under the three keys.
type Start = [(Key, Before); 3];

fn start(a: Before, beside_a: Before, b: Before) -> Start {
    [(Key::A, a), (Key::BesideA, beside_a), (Key::B, b)]
}

/// A store with these records, and its model.
async fn prepare(start: Start) -> (Arc<MemoryStore>, Model) {
    let store = Arc::new(MemoryStore::new());
    let mut events = Vec::new();
    for (key, before) in start {
        let calls: &[Call] = match before {
            Nothing => &[],
            Expired => {
                let write = Write::new("expired", NOW);
                let created = store.create(key.id(), write, PAST).await;
                created.expect("the store has space");
                &[]
            }
            Live => &[Call::Create(key, "first")],
            Locked => &[Call::Create(key, "first"), Call::Lock(key, 1)],
        };
        for call in calls {
            events.push(made(&store, *call).await);
        }
    }
    let model = events.iter().try_fold(Model::default(), |model, event| {
        model.then(event.call, &event.reply)
    });
    (store, model.expect("one call after the other"))
}

async fn made(store: &MemoryStore, call: Call) -> Event {
    let begun = context_switches();
    let reply = call.run(store).await;
    let ended = context_switches();
    Event {
        call,
        reply,
        begun,
        ended,
    }
}

/// Makes the calls of several tasks in parallel, and then loads each record. Fails if no sequential order has
/// the same replies.
async fn check(start: Start, tasks: Vec<Vec<Call>>) {
    let (store, model) = prepare(start).await;
    let tasks = tasks.into_iter().map(|calls| {
        let store = Arc::clone(&store);
        spawn(async move {
            let mut events = Vec::new();
            for call in calls {
                events.push(made(&store, call).await);
            }
            events
        })
    });
    let mut events = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        events.extend(task.await.expect("a task"));
    }
    for key in Key::ALL {
        events.push(made(&store, Call::Load(key)).await);
        events.push(made(&store, Call::Lock(key, 9)).await);
    }
    assert!(
        is_explained(&model, &events),
        "from {start:?} no order explains {events:#?}"
    );
    is_counted(&store).await;
}

/// Calls that name key A, which was written once.
fn calls(data: &'static str) -> Vec<Call> {
    let (first, second) = (Version::FIRST, Version::FIRST.next());
    let rename = |from, to| Call::Rename {
        from,
        expected: first,
        to,
        data,
        leave: "left",
    };
    vec![
        Call::Load(Key::A),
        Call::Create(Key::A, data),
        Call::Create(Key::B, data),
        Call::Replace(Key::A, first, data),
        Call::Replace(Key::A, second, data),
        Call::Touch(Key::A, first, after(90)),
        Call::Lock(Key::A, 1),
        Call::Lock(Key::A, 2),
        Call::Unlock(Key::A, 1),
        rename(Key::A, Key::B),
        rename(Key::A, Key::BesideA),
        rename(Key::B, Key::A),
        Call::Clear,
    ]
}

/// Tries every schedule of each pair of these calls.
fn every_pair_from(start: Start) {
    let mut schedules = 0;
    for (index, one) in calls("one").into_iter().enumerate() {
        for other in calls("other").into_iter().skip(index) {
            schedules += exhaust(move || check(start, vec![vec![one], vec![other]]));
        }
    }
    println!("{schedules} schedules from {start:?}");
}

/// Conformance 6.1, 6.3, 6.4, 6.5, 6.9
#[test]
fn two_calls_on_a_live_record_are_linearizable_under_every_schedule() {
    every_pair_from(start(Live, Nothing, Nothing));
}

/// Conformance 6.1, 6.2, 6.5
#[test]
fn two_calls_on_an_expired_record_are_linearizable_under_every_schedule() {
    every_pair_from(start(Expired, Expired, Live));
}

/// Conformance 6.5, 6.9
#[test]
fn two_calls_on_a_locked_record_are_linearizable_under_every_schedule() {
    every_pair_from(start(Locked, Nothing, Expired));
}

fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[thread_rng().gen_range(0..choices.len())]
}

/// Any call of any of the keys.
fn any_call() -> Call {
    let (key, to) = (one_of(&Key::ALL), one_of(&Key::ALL));
    let expected = one_of(&[1, 1, 1, 2, 2, 3].map(Version::new));
    let data = one_of(&["one", "two", "three"]);
    let owner = one_of(&[1, 2]);
    match one_of(&[0, 1, 2, 2, 3, 4, 4, 6, 7, 8, 9]) {
        0 => Call::Load(key),
        1 => Call::Create(key, data),
        2 => Call::Replace(key, expected, data),
        3 => Call::Touch(key, expected, after(90)),
        4 if key != to => Call::Rename {
            from: key,
            expected,
            to,
            data,
            leave: "left",
        },
        4..=6 => Call::Lock(key, owner),
        7 => Call::Unlock(key, owner),
        8 => Call::Sweep,
        _ => Call::Clear,
    }
}

/// Conformance 6.1, 6.2, 6.3, 6.4, 6.5, 6.9
#[test]
fn random_calls_of_three_tasks_are_linearizable() {
    explore(|| async {
        let before = || one_of(&[Nothing, Expired, Live, Locked]);
        let start = start(before(), before(), before());
        let tasks = (0..3).map(|_| vec![any_call(), any_call(), any_call()]);
        check(start, tasks.collect()).await;
    });
}

/// The holder renews its lease just before it expires, and another owner asks for it just after.
///
/// Conformance 6.9
#[test]
fn a_lease_has_one_holder_at_the_moment_it_expires() {
    explore(|| async {
        let (store, _) = prepare(start(Locked, Nothing, Nothing)).await;
        let end = after(30);
        let just_before = Timestamp::from_millis(end.as_millis() - 1);
        let lock = |owner, now| {
            let store = Arc::clone(&store);
            spawn(async move {
                let until = now_and(now, 30);
                store
                    .lock(Key::A.id(), LockOwner::new(owner), until, now)
                    .await
            })
        };
        let (holder, other) = (lock(1, just_before), lock(2, end));
        let holder = holder.await.expect("a task").expect("memory");
        let other = other.await.expect("a task").expect("memory");
        let both = (holder, other);
        let one = [(Acquired, Held), (Held, Acquired)];
        assert!(one.contains(&both), "{both:?}");
    });
}

fn now_and(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp::from_millis(now.as_millis() + 1000 * seconds)
}
