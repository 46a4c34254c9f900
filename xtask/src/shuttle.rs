//! `cargo xtask shuttle`: runs the concurrency tests under many more schedules than `cargo xtask test` does.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Verb;
use crate::steps::run;
use crate::test::cargo;

/// Tries new schedules.
pub(crate) const VERB: Verb = Verb {
    name: "shuttle",
    arguments: "[N]",
    summary: "run each concurrency test under N new schedules (default 100000)",
    run: shuttle,
};

/// The default number of schedules; they take about twenty minutes on two cores.
const SCHEDULES: u64 = 100_000;

fn shuttle(arguments: &[String]) -> Result<(), String> {
    let schedules = schedules(arguments)?;
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    println!("POEM_SESSION_SEED={seed} POEM_SESSION_SCHEDULES={schedules}");
    run(cargo()
        .args(["test", "--package", "poem-session-shuttle"])
        .env("POEM_SESSION_SEED", seed.to_string())
        .env("POEM_SESSION_SCHEDULES", schedules.to_string()))
}

fn schedules(arguments: &[String]) -> Result<u64, String> {
    match arguments {
        [] => Ok(SCHEDULES),
        [number] => number
            .parse()
            .map_err(|_| format!("`{number}` is not a number of schedules")),
        _ => Err("`shuttle` has at most one argument, the number of schedules".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_schedules_has_a_default() {
        let given = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            schedules(&words)
        };
        assert_eq!(given(&[]), Ok(SCHEDULES));
        assert_eq!(given(&["7"]), Ok(7));
        assert!(given(&["many"]).unwrap_err().contains("`many`"));
        assert!(given(&["1", "2"]).is_err());
    }
}
