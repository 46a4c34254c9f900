//! The events of a history, and random sequences of them.

use proptest::{collection::vec, prelude::*};

/// A field of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    A,
    B,
    /// A counter, zero where it is absent.
    Count,
    /// Removed when it is read.
    Flash,
}

/// An operation of a handler on its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Read(Field),
    Set(Field, u64),
    Add(u64),
    Remove(Field),
    Take(Field),
    Regenerate,
    Reset,
    Destroy,
    /// Saves the changes so far.
    Save,
}

/// An id that a request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The id that the browser holds.
    Current,
    /// One of the ids that clients were sent.
    Old(usize),
    /// An id that no session has ever had.
    Unknown,
}

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visit {
    pub(crate) process: usize,
    /// In the order of the request. If the current id is not among them, the request is of another client than
    /// the browser.
    pub(crate) cookies: Vec<Cookie>,
    /// Whether its handler uses the session exclusively.
    pub(crate) exclusive: bool,
    pub(crate) ops: Vec<Op>,
    /// The status that its handler returns.
    pub(crate) status: u16,
}

impl Visit {
    /// The operations of its handler. It saves the session between two parts.
    pub(crate) fn parts(&self) -> Vec<Vec<Op>> {
        let parts = self.ops.split(|op| *op == Op::Save);
        parts.map(<[Op]>::to_vec).collect()
    }
}

/// An event. A number chooses one of the requests or ids that there are at that moment.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request arrives, and goes on to its first gate.
    Begin(Visit),
    /// A job revokes the session of an id that a client was sent.
    Revoke { process: usize, which: usize },
    /// A request or job passes one gate: the store carries out its call, or replies, or its handler goes on.
    Step(usize),
    /// A request or job passes all gates to its end.
    Finish(usize),
    /// A call is delayed for longer than a lease, and arrives when the handlers of all other requests run.
    HoldUp(usize),
    /// A call fails before it is carried out, or its reply is lost.
    Fail(usize),
    /// The client of a request disconnects.
    Leave(usize),
    /// A process crashes, and another one takes its place.
    Crash(usize),
    /// Minutes pass.
    Pass(u64),
    /// Expired records are removed.
    Sweep,
    /// All sessions are removed.
    Clear,
}

/// The number of processes that share the store.
pub(crate) const PROCESSES: usize = 2;

/// The weights of the rarer events.
#[derive(Debug, Clone, Copy)]
struct Mood {
    /// Requests with several ids.
    cookies: u32,
    /// Exclusive handlers, of ten.
    exclusive: u32,
    /// Handlers that end the session or regenerate its id.
    ends: u32,
    /// Disconnects, failures of the store, crashes.
    trouble: u32,
    /// Passing time.
    time: u32,
}

/// Histories of several moods. With one mood for all, two rare events would hardly ever meet.
pub(crate) fn strategy() -> impl Strategy<Value = Vec<Event>> {
    let mood = |cookies, exclusive, ends, trouble, time| {
        let mood = Mood {
            cookies,
            exclusive,
            ends,
            trouble,
            time,
        };
        vec(event(mood), 8..64)
    };
    prop_oneof![
        mood(1, 0, 1, 0, 2),
        mood(8, 1, 4, 1, 4),
        mood(2, 1, 2, 4, 14),
        mood(0, 5, 1, 1, 14),
        mood(0, 6, 0, 0, 20),
    ]
}

fn event(mood: Mood) -> impl Strategy<Value = Event> {
    let which = any::<usize>;
    let minutes = prop_oneof![
        6 => 1..4u64,
        2 => 5..8u64,
        1 => 25..32u64,
    ];
    prop_oneof![
        24 => visit(mood).prop_map(Event::Begin),
        60 => which().prop_map(Event::Step),
        18 => which().prop_map(Event::Finish),
        mood.ends => (0..PROCESSES, which()).prop_map(|(process, which)| Event::Revoke { process, which }),
        2 * mood.trouble => which().prop_map(Event::Fail),
        2 * mood.trouble => which().prop_map(Event::Leave),
        mood.trouble => (0..PROCESSES).prop_map(Event::Crash),
        mood.time => prop_oneof![
            5 => minutes.prop_map(Event::Pass),
            // Only these find a write that arrives after its lease has expired.
            1 + mood.exclusive => which().prop_map(Event::HoldUp),
        ],
        1 => Just(Event::Sweep),
        mood.ends => Just(Event::Clear),
    ]
}

fn visit(mood: Mood) -> impl Strategy<Value = Visit> {
    let old = || any::<usize>().prop_map(Cookie::Old);
    let any_cookie =
        prop_oneof![1 => Just(Cookie::Current), 3 => old(), 1 => Just(Cookie::Unknown)];
    let cookies = prop_oneof![
        18 => Just(vec![Cookie::Current]),
        2 => old().prop_map(|old| vec![old]),
        mood.cookies => vec(any_cookie, 2..7),
    ];
    let status = prop_oneof![12 => Just(200), 1 => Just(400), 1 => Just(500)];
    let parts = (
        0..PROCESSES,
        cookies,
        proptest::bool::weighted(f64::from(mood.exclusive) / 10.0),
        vec(op(mood), 0..5),
        status,
    );
    parts.prop_map(|(process, cookies, exclusive, ops, status)| Visit {
        process,
        cookies,
        exclusive,
        ops,
        status,
    })
}

fn op(mood: Mood) -> impl Strategy<Value = Op> {
    let plain = || prop_oneof![Just(Field::A), Just(Field::B), Just(Field::Count)];
    let any_field = || prop_oneof![3 => plain(), 1 => Just(Field::Flash)];
    prop_oneof![
        12 => any_field().prop_map(Op::Read),
        16 => (any_field(), 1..4u64).prop_map(|(field, value)| Op::Set(field, value)),
        16 => (1..4u64).prop_map(Op::Add),
        4 => any_field().prop_map(Op::Remove),
        6 => any_field().prop_map(Op::Take),
        mood.ends => Just(Op::Regenerate),
        mood.ends => Just(Op::Reset),
        mood.ends => Just(Op::Destroy),
        4 => Just(Op::Save),
    ]
}
