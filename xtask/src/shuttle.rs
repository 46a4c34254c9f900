//! `cargo xtask shuttle`: the model checker, for longer than a change has to wait for it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Verb;
use crate::steps::run;
use crate::test::cargo;

/// Tries schedules that no run has tried before.
pub(crate) const VERB: Verb = Verb {
    name: "shuttle",
    arguments: "[N]",
    summary: "try N new schedules a test of what runs in parallel; 100000 unless told otherwise",
    run: shuttle,
};

/// As many as take some twenty minutes on two cores.
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
            .map_err(|_| format!("`{number}` is no number of schedules")),
        _ => Err("one number of schedules is enough".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_schedules_may_be_left_out() {
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
