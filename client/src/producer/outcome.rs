//! What a producer makes of answers: records are done, or go again, or never will. Knows nothing of
//! requests.

use std::time::Duration;

use protocol::error_code::ErrorCode;
use tokio::time::Instant;

use super::request::{Answer, Event};
use super::{Done, Identity, Placed, Producer, SendError};
use crate::cluster::ClusterError;

impl<T> Producer<T> {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Leaders(asked) => {
                self.leaders_asked = false;
                match asked {
                    Ok(leaders) => self.learn_leaders(leaders),
                    Err(_) => self.leaders_missed = true,
                }
            }
            Event::Identity(Ok((id, epoch))) => self.identity = Identity::Known(id, epoch),
            Event::Identity(Err(error)) => self.identity_failed(error),
            Event::Connected(leader, connected) => {
                self.connecting.remove(&leader);
                // Perhaps another one leads by now.
                self.leaders_wanted |= connected.is_err();
            }
            Event::Added(partitions, added) => self.added_to_transaction(&partitions, added),
            Event::Answered { leader, sent, answer } => {
                if let Some(count) = self.inflight.get_mut(&leader) {
                    *count -= 1;
                }
                self.inflight.retain(|_, count| *count > 0);
                self.answered(&sent, answer);
            }
        }
    }

    /// A broker without producer ids gets records without.
    fn identity_failed(&mut self, error: ClusterError) {
        self.identity = match error.is_unsupported() {
            true => Identity::None,
            false => Identity::Unknown,
        };
        if let Some(code) = error.code().filter(|code| !code.retriable())
            && self.identity == Identity::Unknown
        {
            self.fail_all(&SendError::of(code, error.to_string()));
        }
    }

    /// Gives up everything that is not on its way.
    pub(super) fn fail_all(&mut self, error: &SendError) {
        let all = Instant::now() + Duration::from_secs(1);
        for partition in 0..self.queues.len() {
            let tokens = self.queues[partition].expire(all);
            self.fail(tokens, error);
        }
    }

    fn answered(&mut self, sent: &[(i32, u64)], answer: Result<Vec<Answer>, ClusterError>) {
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => {
                // Whether it was written is not known: it is sent again.
                let (passing, text) = (error.may_pass(), error.to_string());
                let code = match error.code() {
                    Some(code) if !passing => code,
                    _ => ErrorCode::NETWORK_EXCEPTION,
                };
                return sent.iter().for_each(|(p, number)| self.refused(*p, *number, code, &text));
            }
        };
        for (partition, number) in sent {
            let Some(answer) = answers.iter().find(|answer| answer.partition == *partition) else {
                let code = ErrorCode::UNKNOWN_SERVER_ERROR;
                self.refused(*partition, *number, code, "no answer for this partition");
                continue;
            };
            // A batch that an earlier try brought there already is there.
            if answer.code.is_ok() || answer.code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER {
                let batch = self.queues[*partition as usize].remove(*number);
                for (at, (token, size)) in (0..).zip(batch.into_iter().flat_map(|b| b.tokens)) {
                    self.buffered -= size;
                    let offset = if answer.base_offset < 0 { -1 } else { answer.base_offset + at };
                    let outcome = Ok(Placed { partition: *partition, offset });
                    self.done.push(Done { token, outcome });
                }
            } else {
                let text = answer.message.as_deref().unwrap_or(answer.code.message());
                self.refused(*partition, *number, answer.code, text);
            }
        }
    }

    /// A batch was not written, or nobody knows: again, or never.
    fn refused(&mut self, partition: i32, number: u64, code: ErrorCode, text: &str) {
        let queue = &mut self.queues[partition as usize];
        let at = Instant::now() + self.options.backoff;
        let behind = code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER && !queue.is_first(number);
        let retries = if behind { u32::MAX } else { self.options.retries };
        if (code.retriable() || behind) && queue.retry(number, at, retries) {
            self.leaders_wanted |= !behind;
            return;
        }
        let tokens = queue.remove(number).map_or(Vec::new(), |batch| batch.tokens);
        self.fail(tokens, &SendError::of(code, text));
        // Its sequences are used up or not: what follows needs others.
        if matches!(self.identity, Identity::Known(..)) {
            self.identity = Identity::Unknown;
        }
    }

    pub(super) fn fail(&mut self, tokens: Vec<(T, usize)>, error: &SendError) {
        if let Some(transaction) = &mut self.transaction {
            transaction.fail(error.clone());
        }
        for (token, size) in tokens {
            self.buffered -= size;
            self.done.push(Done { token, outcome: Err(error.clone()) });
        }
    }

    /// Gives up what waits for longer than a delivery may take.
    pub(super) fn expire(&mut self, now: Instant) {
        let timeout = self.options.delivery_timeout;
        let Some(limit) = now.checked_sub(timeout) else { return };
        for partition in 0..self.queues.len() {
            let tokens = self.queues[partition].expire(limit);
            if tokens.is_empty() {
                continue;
            }
            let message = format!(
                "Expiring {} record(s) for {}-{partition}:{} ms has passed since batch creation",
                tokens.len(),
                self.topic,
                timeout.as_millis()
            );
            self.fail(tokens, &SendError::of(ErrorCode::REQUEST_TIMED_OUT, message));
            if matches!(self.identity, Identity::Known(..)) {
                self.identity = Identity::Unknown;
            }
        }
    }
}
