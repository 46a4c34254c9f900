//! What can happen, and random sequences of it.

use proptest::{collection::vec, prelude::*};

/// A field of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    A,
    B,
    /// A counter, zero where it is absent.
    Count,
    /// Gone once read.
    Flash,
}

/// What a handler does with its session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Read(Field),
    Set(Field, u64),
    Add(u64),
    Remove(Field),
    Take(Field),
    Regenerate,
    Reset,
    Destroy,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request arrives; its handler does this.
    Begin(Vec<Op>),
    /// One of the requests under way answers with this status.
    Finish(usize, u16),
    /// The client of one of the requests under way goes away.
    Drop(usize),
    /// The browser's session is revoked elsewhere.
    Revoke,
    /// Minutes pass.
    Pass(u64),
}

pub(crate) fn strategy() -> impl Strategy<Value = Vec<Event>> {
    vec(event(), 1..24)
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop_oneof![8 => Just(200), 1 => Just(400), 1 => Just(500)];
    prop_oneof![
        9 => vec(op(), 0..5).prop_map(Event::Begin),
        9 => (any::<usize>(), status).prop_map(|(which, status)| Event::Finish(which, status)),
        1 => any::<usize>().prop_map(Event::Drop),
        1 => Just(Event::Revoke),
        2 => prop_oneof![Just(1), Just(4), Just(20), Just(31)].prop_map(Event::Pass),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let plain = || prop_oneof![Just(Field::A), Just(Field::B), Just(Field::Count)];
    let any_field = || prop_oneof![3 => plain(), 1 => Just(Field::Flash)];
    prop_oneof![
        3 => any_field().prop_map(Op::Read),
        4 => (any_field(), 1..4u64).prop_map(|(field, value)| Op::Set(field, value)),
        4 => (1..4u64).prop_map(Op::Add),
        1 => any_field().prop_map(Op::Remove),
        1 => any_field().prop_map(Op::Take),
        1 => Just(Op::Regenerate),
        1 => Just(Op::Reset),
        1 => Just(Op::Destroy),
    ]
}
