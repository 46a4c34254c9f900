//! The events of a history, and random sequences of them.

use proptest::{collection::vec, prelude::*};

use crate::full::Space;

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
    /// Locks the session.
    Lock,
    /// Drops the lock.
    Unlock,
}

/// A part of a handler's work. A handler stops after each.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) begins: Begins,
    pub(crate) ops: Vec<Op>,
}

/// The beginning of a part, which waits for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    Handler,
    BySaving,
    ByLocking,
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
    /// Whether its handler repeats an early save for which the store has returned an error.
    pub(crate) repeats: bool,
    pub(crate) ops: Vec<Op>,
    /// The status that its handler returns.
    pub(crate) status: u16,
}

impl Visit {
    /// A request that begins the session of the browser.
    fn first() -> Self {
        Self {
            cookies: vec![Cookie::Current],
            ops: vec![Op::Set(Field::A, 1), Op::Add(1)],
            status: 200,
            ..Self::default()
        }
    }

    /// The parts of its handler's work.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let part = |begins| Part {
            begins,
            ops: Vec::new(),
        };
        let (mut parts, mut last) = (Vec::new(), part(Begins::Handler));
        for op in &self.ops {
            let begins = match op {
                Op::Save => Begins::BySaving,
                Op::Lock => Begins::ByLocking,
                op => {
                    last.ops.push(*op);
                    continue;
                }
            };
            parts.push(std::mem::replace(&mut last, part(begins)));
        }
        parts.push(last);
        parts
    }
}

/// A history.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// The minutes by which the clock of each process is ahead of time.
    pub(crate) ahead: [u64; PROCESSES],
    pub(crate) events: Vec<Event>,
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
    /// A request goes on until its handler has done its next part.
    Reach(usize),
    /// The handlers of all other requests run before a request or job passes its gate.
    Overtake(usize),
    /// A call is delayed for longer than a lease, and arrives when the handlers of all other requests run.
    HoldUp(usize),
    /// The same of a request that has locked the session. The lease has expired only by the clock that is the most
    /// ahead.
    HoldUpHolder(usize),
    /// A call fails before it is carried out, or its reply is lost.
    Fail(usize),
    /// A write is carried out, and its reply is lost.
    LoseReply(usize),
    /// The client of a request disconnects.
    Leave(usize),
    /// A process crashes, and another one takes its place.
    Crash(usize),
    /// Minutes pass.
    Pass(u64),
    /// A process removes expired records.
    Sweep(usize),
    /// All sessions are removed.
    Clear,
    /// The store becomes full, or it has space again.
    Fill(Space),
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
    /// Handlers that lock the session themselves.
    locks: u32,
    /// Early saves.
    saves: u32,
    /// Handlers that end the session or regenerate its id.
    ends: u32,
    /// Disconnects, failures of the store, crashes.
    trouble: u32,
    /// More failures of the store.
    faults: u32,
    /// Passing time.
    time: u32,
    /// Clocks that differ, of ten.
    skew: u32,
    /// A full store.
    full: u32,
}

/// Histories of several moods. With one mood for all, two rare events would hardly ever meet.
pub(crate) fn strategy() -> impl Strategy<Value = History> {
    let calm = Mood {
        cookies: 1,
        exclusive: 0,
        locks: 0,
        saves: 4,
        ends: 1,
        trouble: 0,
        faults: 0,
        time: 2,
        skew: 2,
        full: 0,
    };
    let ending = Mood {
        cookies: 8,
        exclusive: 1,
        ends: 4,
        trouble: 1,
        time: 4,
        full: 4,
        ..calm
    };
    let troubled = Mood {
        exclusive: 1,
        locks: 2,
        ends: 2,
        trouble: 4,
        time: 14,
        ..calm
    };
    let repeating = Mood {
        saves: 30,
        trouble: 1,
        faults: 30,
        time: 2,
        full: 1,
        ..calm
    };
    let locking = Mood {
        exclusive: 2,
        locks: 30,
        saves: 8,
        time: 4,
        ..calm
    };
    let queueing = Mood {
        exclusive: 5,
        trouble: 1,
        time: 14,
        skew: 7,
        ..calm
    };
    let waiting = Mood {
        exclusive: 8,
        ends: 0,
        time: 20,
        skew: 9,
        ..calm
    };
    prop_oneof![
        history(calm),
        history(ending),
        history(troubled),
        history(repeating),
        history(locking),
        history(queueing),
        history(waiting),
    ]
}

fn history(mood: Mood) -> impl Strategy<Value = History> {
    // A clock is ahead by less or by more than half of a lease.
    let ahead = prop_oneof![
        10 - mood.skew => Just([0, 0]),
        mood.skew => (0..PROCESSES, 1..=6u64).prop_map(|(process, minutes)| {
            let mut ahead = [0; PROCESSES];
            ahead[process] = minutes;
            ahead
        }),
    ];
    let history = (ahead, any::<bool>(), vec(event(mood), 8..64));
    history.prop_map(|(ahead, begun, mut events)| {
        if begun {
            events.splice(0..0, [Event::Begin(Visit::first()), Event::Finish(0)]);
        }
        History { ahead, events }
    })
}

fn event(mood: Mood) -> impl Strategy<Value = Event> {
    let which = any::<usize>;
    let space = prop_oneof![
        2 => Just(Space::Free),
        2 => Just(Space::Full),
        1 => Just(Space::FullForMoves),
    ];
    let minutes = prop_oneof![
        6 => 1..4u64,
        2 => 5..8u64,
        1 => 25..32u64,
    ];
    prop_oneof![
        24 => visit(mood).prop_map(Event::Begin),
        90 => prop_oneof![
            60 => which().prop_map(Event::Step),
            18 => which().prop_map(Event::Finish),
            6 + mood.exclusive + mood.locks => which().prop_map(Event::Reach),
            1 + mood.exclusive => which().prop_map(Event::Overtake),
        ],
        mood.ends => (0..PROCESSES, which()).prop_map(|(process, which)| Event::Revoke { process, which }),
        2 * mood.trouble + mood.faults => prop_oneof![
            which().prop_map(Event::Fail),
            which().prop_map(Event::LoseReply),
        ],
        2 * mood.trouble => which().prop_map(Event::Leave),
        mood.trouble => (0..PROCESSES).prop_map(Event::Crash),
        mood.time => prop_oneof![
            5 => minutes.prop_map(Event::Pass),
            // Only these find a write that arrives after its lease has expired.
            1 + mood.exclusive => which().prop_map(Event::HoldUp),
            mood.skew => which().prop_map(Event::HoldUpHolder),
        ],
        1 + mood.full => prop_oneof![
            1 => (0..PROCESSES).prop_map(Event::Sweep),
            mood.full => space.prop_map(Event::Fill),
        ],
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
        proptest::bool::ANY,
        vec(op(mood), 0..5),
        status,
    );
    parts.prop_map(|(process, cookies, exclusive, repeats, mut ops, status)| {
        // The lock of an exclusive handler includes its own.
        ops.retain(|op| !exclusive || !matches!(op, Op::Lock | Op::Unlock));
        Visit {
            process,
            cookies,
            exclusive,
            repeats,
            ops,
            status,
        }
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
        mood.saves => Just(Op::Save),
        mood.locks => prop_oneof![Just(Op::Lock), Just(Op::Unlock)],
    ]
}
