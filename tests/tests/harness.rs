//! The harness itself: what it starts answers, can be broken, and is gone at the end.

mod harness {
    mod end;
    mod program;
    mod proxy;
    mod record;
    mod redis_groups;
    mod single;
}
