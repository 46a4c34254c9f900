//! Sends a command until it is answered, as far as that is safe and the time limit allows.
//!
//! What a server refused was not executed, and is sent again. Where the connection broke the command may
//! have been executed, and only its answer be lost. It is sent again even so: a script that finds its own
//! work answers as if it had just done it. What cannot be told apart by then is a write that was executed
//! *and* overwritten since from one that lost: see [`Answer::certain`].

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    command::Command,
    fault::{Fault, Remedy, judge},
    link::{Connection, Link},
};

/// What a server answered.
pub(super) struct Answer {
    pub(super) value: Value,
    /// The command was executed once. If not, an earlier sending of it may have been executed too.
    pub(super) certain: bool,
}

impl Answer {
    /// The number that a script answered with.
    pub(super) fn number(&self) -> Result<i64, Fault> {
        match self.value {
            Value::Int(-1) => Err(Fault::FOREIGN),
            Value::Int(number) => Ok(number),
            _ => Err(Fault::NONSENSE),
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

impl Link {
    /// Sends a command and waits for its answer, no longer than the time limit.
    pub(super) async fn call(self: &Arc<Self>, command: &Command) -> Result<Answer, Fault> {
        self.call_by(self.deadline(), command).await
    }

    /// When what begins now has to be done.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit()
    }

    /// Sends a command and waits for its answer, until `deadline`.
    pub(super) async fn call_by(
        self: &Arc<Self>,
        deadline: Instant,
        command: &Command,
    ) -> Result<Answer, Fault> {
        let mut certain = true;
        let mut lost = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let (number, connection) = self.connection_by(deadline).await?;
            let cluster = connection.is_cluster();
            let Ok(sent) = timeout_at(deadline, send(connection, command)).await else {
                self.give_up(number);
                return Err(Fault::TIMED_OUT);
            };
            let error = match sent {
                Ok(value) => return Ok(Answer { value, certain }),
                Err(error) => error,
            };
            let (remedy, mut fault) = judge(&error, cluster);
            certain &= fault.refused;
            fault.refused = certain;
            match remedy {
                Remedy::Elsewhere if !cluster => self.give_up(number),
                Remedy::Elsewhere | Remedy::Wait | Remedy::Ask => {}
                Remedy::Lost => {
                    // One server is there again at once or not for a while; in a Cluster the other
                    // nodes are, and a replica takes over.
                    let most = if cluster { 6 } else { 1 };
                    lost += 1;
                    if !cluster || lost > most {
                        self.give_up(number);
                    }
                    if lost > most {
                        return Err(fault);
                    }
                    if !cluster {
                        continue;
                    }
                }
                Remedy::SendText | Remedy::None => {
                    if fault == Fault::TIMED_OUT {
                        self.give_up(number);
                    }
                    return Err(fault);
                }
            }
            if Instant::now() + pause >= deadline {
                return Err(fault);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connection_by(&self, deadline: Instant) -> Result<(u64, Connection), Fault> {
        timeout_at(deadline, self.connection())
            .await
            .map_err(|_| Fault::TIMED_OUT)?
            .map_err(|error| judge(&error, false).1)
    }
}

/// Sends a command as it is, and once more where the server asked for that in a way that leaves no
/// doubt: with the text of the script, or to the node that it named.
async fn send(mut connection: Connection, command: &Command) -> RedisResult<Value> {
    let cluster = connection.is_cluster();
    let mut text = None;
    let mut answer = connection.send(command.cmd()).await;
    // At most: to the other node, back with the text of the script, to the other node with that.
    for _ in 0..3 {
        let Err(error) = &answer else { break };
        answer = match judge(error, cluster).0 {
            Remedy::SendText if text.is_none() => match command.with_text() {
                Some(with_text) => connection.send(text.insert(with_text)).await,
                None => break,
            },
            Remedy::Ask => {
                let cmd = text.as_ref().unwrap_or(command.cmd());
                connection.ask(cmd, error).await
            }
            _ => break,
        };
    }
    answer
}
