//! Transactional producers: one transaction after the other in several partitions, committed,
//! aborted or left alone; fenced by the next instance of its transactional id, and begun anew.

use client::producer::{Options, Producer, Record};
use coordinator::shard::Producer as ProducerEpoch;

use super::{Place, properties};
use crate::checker::Fact;
use crate::ledger::Deed;
use crate::place::LASTING;
use crate::random::Random;

/// Writes transactions until it is to be quiet.
pub async fn transact(own: Place, id: &str) {
    let settings = properties(&[
        ("transactional.id", id),
        ("transaction.timeout.ms", "5000"),
        ("batch.size", "100"),
        ("linger.ms", "0"),
        ("request.timeout.ms", "3000"),
        ("delivery.timeout.ms", "8000"),
        ("max.block.ms", "8000"),
    ]);
    let mut random = own.random();
    let mut serial = 0;
    while !own.quiet.is_cancelled() {
        let options = Options::of(&settings).expect("legal settings");
        let mut producer = Producer::new(own.cluster(), options, LASTING);
        let number = u64::from(own.number) << 32 | serial;
        tell(&own, id, number, Deed::Starting);
        if let Err(error) = producer.init_transactions().await {
            own.trace.note(|| format!("client {}: {error}", own.number));
            own.pause(&mut random, 1_000).await;
            continue;
        }
        let Some(epoch) = producer.identity().map(identity) else { continue };
        tell(&own, id, number, Deed::Started(epoch));
        while !own.quiet.is_cancelled() {
            serial += 1;
            if !one(&own, id, serial, &mut producer, &mut random).await {
                break;
            }
            own.pause(&mut random, 200).await;
        }
        // Fenced, gone or slow: the next instance comes when it comes.
        own.pause(&mut random, 2_000).await;
    }
}

fn identity((id, epoch): (i64, i16)) -> ProducerEpoch {
    ProducerEpoch { id, epoch }
}

fn tell(own: &Place, id: &str, transaction: u64, deed: Deed) {
    let (client, id) = (own.number, id.to_owned());
    own.learn(Fact::Transaction { client, transaction, id, deed });
}

/// One transaction; false if this instance cannot go on.
async fn one(
    own: &Place,
    id: &str,
    serial: u64,
    producer: &mut Producer<u64>,
    random: &mut Random,
) -> bool {
    let number = u64::from(own.number) << 32 | serial;
    let Some(epoch) = producer.identity().map(identity) else { return false };
    tell(own, id, number, Deed::Began(epoch));
    let first = u64::from(own.number) << 40 | serial << 8;
    for index in 0..random.between(1, 8) {
        let value = (first | index).to_be_bytes();
        let timestamp = Some(own.now_ms());
        producer
            .send(Record { timestamp, value: Some(&value), ..Record::default() }, first | index)
            .await;
    }
    producer.flush().await;
    let done = producer.take_done();
    let failed = done.iter().any(|done| done.outcome.is_err());
    let wrote = done.iter().filter(|done| done.outcome.is_ok()).map(|done| done.token).collect();
    tell(own, id, number, Deed::Wrote(wrote));
    // Some leave it open: it times out, or the next instance ends it.
    if failed || random.one_in(12) {
        return false;
    }
    let commit = !random.one_in(4);
    let ended = match commit {
        true => {
            tell(own, id, number, Deed::CommitAsked);
            producer.commit_transaction().await
        }
        false => producer.abort_transaction().await,
    };
    match &ended {
        Ok(()) => tell(own, id, number, Deed::Ended { commit }),
        Err(error) => own.trace.note(|| format!("client {}: {error}", own.number)),
    }
    ended.is_ok()
}
