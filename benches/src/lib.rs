//! Benchmarks of `poem-session`. They are in the directory `benches/` of this package.
