//! Measures the libraries beside each other.
//!
//! The rounds of all libraries and cases are interleaved, so that a change of the machine's speed meets all alike.
//! Each round measures a case and the bare handler of the same framework, one after the other. The result is the
//! median of the differences.

use std::{hint::black_box, time::Instant};

use serde::Serialize;

use crate::apps::{App, FLOOR, LIBRARIES, Library, Reply, Route, values};

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of each case.
    pub(crate) rounds: usize,
    /// Requests in a round.
    pub(crate) batch: usize,
    /// Live sessions of the cases at scale.
    pub(crate) live: &'static [usize],
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        rounds: 60,
        batch: 2000,
        live: &[1000, 50_000, 1_000_000],
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 15,
        batch: 1000,
        live: &[50_000],
    };
}

/// A case of one library, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) lib: &'static str,
    pub(crate) case: String,
    /// Nanoseconds above the bare handler of the same framework.
    pub(crate) ns_above_bare: f64,
    /// The same, as a multiple of the least work.
    pub(crate) times_least_work: f64,
    /// Heap allocations above the bare handler.
    pub(crate) allocs_above_bare: f64,
    /// Heap bytes of one session, in the cases that create sessions.
    pub(crate) bytes_a_session: Option<f64>,
}

/// An application with some live sessions.
struct Stand {
    library: Library,
    app: Box<dyn App>,
    cookies: Vec<String>,
    bytes_a_session: f64,
    /// Where the walk through the sessions is.
    at: usize,
}

impl Stand {
    fn new(library: Library, live: usize) -> Self {
        let app = (library.app)();
        let mut cookies = Vec::with_capacity(live);
        let mut cookie_bytes = 0;
        let allocated = allocation_counter::measure(|| {
            for _ in 0..live {
                let cookie = app.reply(Route::Create, None).cookie;
                let cookie = cookie.expect("a new session has a cookie");
                cookie_bytes += cookie.capacity();
                cookies.push(cookie);
            }
        });
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let bytes_a_session = (allocated.bytes_current
            - i64::try_from(cookie_bytes).expect("few bytes")) as f64
            / live as f64;
        Self {
            library,
            app,
            cookies,
            bytes_a_session,
            at: 0,
        }
    }

    /// The cookies of a batch. Neighbours in the batch are far apart in the order of creation.
    fn batch(&mut self, size: usize) -> Vec<usize> {
        let step = 7919;
        (0..size)
            .map(|_| {
                self.at = (self.at + step) % self.cookies.len();
                self.at
            })
            .collect()
    }

    fn run(&self, route: Route, batch: &[usize], with_cookie: bool) -> f64 {
        let begin = Instant::now();
        for index in batch {
            let cookie = with_cookie.then(|| &*self.cookies[*index]);
            self.app.call(black_box(route), black_box(cookie));
        }
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_request = begin.elapsed().as_nanos() as f64 / batch.len() as f64;
        per_request
    }

    fn allocations(&self, route: Route, batch: &[usize], with_cookie: bool) -> f64 {
        let counted = allocation_counter::measure(|| {
            self.run(route, batch, with_cookie);
        });
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_request = counted.count_total as f64 / batch.len() as f64;
        per_request
    }

    /// Checks that each route does its work.
    fn check(&self) {
        let name = self.library.name;
        let cookie = Some(&*self.cookies[0]);
        let read = |count: i64, cookie: Option<&str>| {
            let Reply { body, .. } = self.app.reply(Route::Read, cookie);
            assert_eq!(body, count.to_string(), "{name} does not read the count");
        };
        read(values::COUNT, cookie);
        self.app.call(Route::Change, cookie);
        read(values::COUNT + 1, cookie);
        read(0, None);
        for route in [Route::Bare, Route::BareValues, Route::Unused] {
            let reply = self.app.reply(route, None);
            assert_eq!(reply.body, "ok", "{name}: {route:?}");
            assert_eq!(
                self.app.reply(route, cookie).body,
                "ok",
                "{name}: {route:?}"
            );
        }
    }
}

/// A case, the same for all libraries.
#[derive(Debug, Clone)]
struct Case {
    name: String,
    route: Route,
    with_cookie: bool,
    live: usize,
}

fn cases(effort: Effort) -> Vec<Case> {
    let few = |name: &str, route, with_cookie| Case {
        name: name.to_owned(),
        route,
        with_cookie,
        live: 1,
    };
    let mut cases = vec![
        few("anonymous", Route::Unused, false),
        few("cookie sent, session unused", Route::Unused, true),
        few("read one key", Route::Read, true),
        few("change one key", Route::Change, true),
        few("create", Route::Create, false),
    ];
    for live in effort.live {
        for (name, route) in [("read", Route::Read), ("change", Route::Change)] {
            cases.push(Case {
                name: format!("{name}, {live} live"),
                route,
                with_cookie: true,
                live: *live,
            });
        }
    }
    cases
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Serves requests of one case by one library, for a profiler.
pub(crate) fn serve(library: &str, case: &str, requests: usize) -> Result<(), String> {
    let library = LIBRARIES.iter().find(|known| known.name == library);
    let library = library.ok_or("no such library")?;
    let cases = cases(Effort::QUICK);
    let case = cases.iter().find(|known| known.name == case);
    let case = case.ok_or("no such case")?;
    let mut stand = Stand::new(*library, case.live);
    let batch = stand.batch(requests);
    for batch in batch.chunks(2000) {
        stand.run(case.route, batch, case.with_cookie);
        if case.route == Route::Create {
            // The sessions would fill the memory.
            stand.app = (library.app)();
        }
    }
    Ok(())
}

/// Measures all cases of all libraries.
pub(crate) fn compare(effort: Effort) -> Vec<Measured> {
    let cases = cases(effort);
    let mut all = Vec::new();
    let mut sizes: Vec<usize> = cases.iter().map(|case| case.live).collect();
    sizes.dedup();
    for live in sizes {
        let cases: Vec<Case> = cases
            .iter()
            .filter(|case| case.live == live)
            .cloned()
            .collect();
        all.extend(compare_with(live, &cases, effort));
    }
    all
}

fn compare_with(live: usize, cases: &[Case], effort: Effort) -> Vec<Measured> {
    let mut stands: Vec<_> = LIBRARIES.iter().map(|lib| Stand::new(*lib, live)).collect();
    stands.iter().for_each(Stand::check);
    let mut differences = vec![Vec::new(); stands.len() * cases.len()];
    for round in 0..=effort.rounds {
        for (s, stand) in stands.iter_mut().enumerate() {
            for (c, case) in cases.iter().enumerate() {
                let batch = stand.batch(effort.batch);
                if case.route == Route::Create {
                    // The sessions of earlier rounds would fill the memory.
                    let app = (stand.library.app)();
                    let kept = std::mem::replace(&mut stand.app, app);
                    let time = difference(stand, case, &batch);
                    differences[s * cases.len() + c].push(time);
                    stand.app = kept;
                    continue;
                }
                let time = difference(stand, case, &batch);
                if round > 0 {
                    differences[s * cases.len() + c].push(time);
                }
            }
        }
    }
    let mut measured: Vec<Measured> = Vec::new();
    for (s, stand) in stands.iter_mut().enumerate() {
        for (c, case) in cases.iter().enumerate() {
            let ns = median(std::mem::take(&mut differences[s * cases.len() + c]));
            let batch = stand.batch(200);
            let count = |route| stand.allocations(route, &batch, case.with_cookie);
            let floor = measured
                .iter()
                .find(|floor| floor.lib == FLOOR && floor.case == case.name)
                .map_or(ns, |floor| floor.ns_above_bare);
            measured.push(Measured {
                lib: stand.library.name,
                case: case.name.clone(),
                ns_above_bare: ns,
                times_least_work: ns / floor,
                allocs_above_bare: count(case.route) - count(case.route.bare()),
                bytes_a_session: (live > 1).then_some(stand.bytes_a_session),
            });
        }
    }
    measured
}

fn difference(stand: &Stand, case: &Case, batch: &[usize]) -> f64 {
    let bare = stand.run(case.route.bare(), batch, case.with_cookie);
    stand.run(case.route, batch, case.with_cookie) - bare
}
