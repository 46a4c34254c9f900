//! Sends a command, and sends it again after a failure if that is safe and the timeout allows.
//!
//! A command that the server refused was not executed, and is sent again. If the connection broke, the command
//! may have been executed and only its reply lost. It is sent again too: a script that finds its own earlier
//! write returns success. The store then cannot distinguish a write that was executed *and* overwritten from
//! a write that lost: see [`Reply::sent_once`].

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    command::Command,
    fault::{Fault, Remedy, classify},
    link::{Connection, Link},
};

/// The reply of a server.
pub(super) struct Reply {
    pub(super) value: Value,
    /// Whether no earlier sending of the command can have been executed.
    pub(super) sent_once: bool,
}

impl Reply {
    /// Returns the number that a script returned.
    pub(super) fn number(&self) -> Result<i64, Fault> {
        match self.value {
            Value::Int(-1) => Err(Fault::FOREIGN),
            Value::Int(number) => Ok(number),
            _ => Err(Fault::UNEXPECTED),
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

impl Link {
    /// Sends a command and returns its reply, within the call timeout.
    pub(super) async fn call(self: &Arc<Self>, command: &Command) -> Result<Reply, Fault> {
        self.call_by(self.deadline(), command).await
    }

    /// Returns the time by which a call that starts now must end.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.call_timeout()
    }

    /// Sends a command and returns its reply, before `deadline`.
    pub(super) async fn call_by(
        self: &Arc<Self>,
        deadline: Instant,
        command: &Command,
    ) -> Result<Reply, Fault> {
        let mut sent_once = true;
        let mut lost = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let (number, connection) = self.connection_by(deadline).await?;
            let cluster = connection.is_cluster();
            let Ok(sent) = timeout_at(deadline, send(connection, command)).await else {
                self.discard(number);
                return Err(Fault::TIMED_OUT);
            };
            let error = match sent {
                Ok(value) => return Ok(Reply { value, sent_once }),
                Err(error) => error,
            };
            let (remedy, mut fault) = classify(&error, cluster);
            sent_once &= fault.not_executed;
            fault.not_executed = sent_once;
            match remedy {
                Remedy::Elsewhere if !cluster => self.discard(number),
                Remedy::Elsewhere | Remedy::Wait | Remedy::Ask => {}
                Remedy::Lost => {
                    // A single server returns at once or not for a while. In a Cluster, a replica takes
                    // over and the other nodes still work.
                    let most = if cluster { 6 } else { 1 };
                    lost += 1;
                    if !cluster || lost > most {
                        self.discard(number);
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
                        self.discard(number);
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
            .map_err(|error| classify(&error, false).1)
    }
}

/// Sends a command, and sends it again if the server requests it: with the text of the script, or to the node
/// that the server named. In both cases the command was not executed before.
async fn send(mut connection: Connection, command: &Command) -> RedisResult<Value> {
    let cluster = connection.is_cluster();
    let mut text = None;
    let key = command.key();
    let mut reply = connection.send_to_primary(key, command.cmd()).await;
    // The longest sequence: to the other node, to the first node with the script's text, to the other node
    // with the text.
    for _ in 0..3 {
        let Err(error) = &reply else { break };
        reply = match classify(error, cluster).0 {
            Remedy::SendText if text.is_none() => match command.with_text() {
                Some(with_text) => {
                    let with_text = text.insert(with_text);
                    connection.send_to_primary(key, with_text).await
                }
                None => break,
            },
            Remedy::Ask => {
                let cmd = text.as_ref().unwrap_or(command.cmd());
                connection.ask(cmd, error).await
            }
            _ => break,
        };
    }
    reply
}
