//! Runs a text table against one group shard. A line at the margin is done; the indented lines
//! after it are everything that must come of it, in order. Knows the group `g` only.
//!
//! ```text
//! join NAME [new] [v3|v9] [static=I] [session=MS] [rebalance=MS] [type=T] [protocols=P:T1+T2,Q]
//! sync NAME [gen=N] [protocol=P]    heartbeat NAME [gen=N]    leave NAME [static=I]
//! commit NAME T-P=OFFSET[:METADATA]… [gen=N] [txn=PID] [expire=MS]    fetch [stable] [T-P…]
//! delete    delete-offsets T-P…    partitions-deleted T-P…    end PID commit|abort    state
//! wait MS   hold    store    fail ERROR    reload
//! ```
//!
//! A member shows as `NAME#N`, N being the randomness its id was made of. Appends succeed at once,
//! unless `hold` was said: then `store` or `fail` decides on all that wait. `reload` builds the
//! shard anew from what was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use protocol::ids::TopicPartition;

use crate::group::records::{self, GroupRecord};
use crate::group::request::*;
use crate::group::shard::Pending;
use crate::group::{GroupConfig, GroupError, GroupShard};
use crate::shard::writer::AppendError;
use crate::shard::{
    Append, Effects, Marker, Now, Producer, Shard, StoredBatch, StoredRecord, Ticket,
};

/// Where the steady clock starts; the wall clock is far from it.
const STEADY_MS: i64 = 1_000;
const WALL_MS: i64 = 1_700_000_000_000;

#[derive(Default, Clone)]
struct Client {
    member_id: String,
    generation: i32,
    /// Those the client was told about as their leader.
    led: Vec<String>,
    instance_id: Option<String>,
}

pub struct Script {
    shard: GroupShard,
    config: GroupConfig,
    now: Now,
    clients: BTreeMap<String, Client>,
    callers: BTreeMap<Ticket, String>,
    next_ticket: Ticket,
    random: u128,
    holding: bool,
    held: Vec<Append<GroupRecord, Pending>>,
    log: Vec<StoredBatch>,
    end_offset: i64,
    lines: Vec<String>,
}

/// Runs the table with Kafka's default settings.
pub fn check(table: &str) {
    check_with(GroupConfig::default(), table);
}

pub fn check_with(config: GroupConfig, table: &str) {
    let mut script = Script::new(config);
    let (mut expected, mut happened) = (String::new(), String::new());
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let margin = table.lines().find(|l| !l.trim().is_empty()).map_or(0, indent);
        let _ = writeln!(expected, "{}", line.get(margin..).unwrap_or("").trim_end());
        if indent(line) == margin {
            let _ = writeln!(happened, "{}", line.trim());
            script.run(line.trim());
            for line in script.lines.drain(..) {
                let _ = writeln!(happened, "  {line}");
            }
        }
    }
    assert!(expected == happened, "expected:\n{expected}\nhappened:\n{happened}");
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

impl Script {
    pub fn new(config: GroupConfig) -> Script {
        let mut script = Script {
            shard: GroupShard::new(config.clone()),
            config,
            now: Now { wall_ms: WALL_MS, steady_ms: STEADY_MS },
            clients: BTreeMap::new(),
            callers: BTreeMap::new(),
            next_ticket: 0,
            random: 0,
            holding: false,
            held: Vec::new(),
            log: Vec::new(),
            end_offset: 0,
            lines: Vec::new(),
        };
        script.reload();
        script
    }

    fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, words) = words.split_first().expect("a command");
        let options: BTreeMap<&str, &str> =
            words.iter().filter_map(|word| word.split_once('=')).collect();
        let flag = |name: &str| words.contains(&name);
        let name = words.first().copied().unwrap_or("");
        match *command {
            "join" => self.join(name, &options, &flag),
            "sync" => self.sync(name, &options),
            "heartbeat" => {
                let caller = self.caller(name, &options);
                self.ask(name, Request::Heartbeat { group: "g".into(), caller });
            }
            "leave" => self.leave(name, &options),
            "commit" => self.commit(name, words, &options),
            "fetch" => {
                let asked = partitions(words);
                let partitions = (!asked.is_empty()).then_some(asked);
                let require_stable = flag("stable");
                self.ask(
                    "",
                    Request::Fetch {
                        group: "g".into(),
                        fetch: FetchRequest { partitions, require_stable, member: None },
                    },
                );
            }
            "delete" => self.ask("", Request::Delete { group: "g".into() }),
            "delete-offsets" => {
                let partitions = partitions(words);
                self.ask("", Request::DeleteOffsets { group: "g".into(), partitions });
            }
            "partitions-deleted" => {
                let partitions = partitions(words);
                self.ask("", Request::PartitionsDeleted { partitions });
            }
            "end" => self.end(name, words[1]),
            "state" => self.ask("", Request::Describe { group: "g".into() }),
            "wait" => self.wait(name.parse().expect("milliseconds")),
            "hold" => self.holding = true,
            "store" => self.settle(None),
            "fail" => self.settle(Some(append_error(name))),
            "reload" => self.reload(),
            other => panic!("no such command: {other}"),
        }
    }

    fn join(&mut self, name: &str, options: &BTreeMap<&str, &str>, flag: &dyn Fn(&str) -> bool) {
        self.random += 1;
        let random = self.random;
        let client = self.clients.entry(name.to_owned()).or_default();
        client.instance_id = options.get("static").map(|id| (*id).to_owned());
        let number = |key: &str, default: i32| {
            options.get(key).map_or(default, |text| text.parse().expect("a number"))
        };
        let protocols = options.get("protocols").copied().unwrap_or("range:t");
        let join = JoinRequest {
            member_id: if flag("new") { String::new() } else { client.member_id.clone() },
            instance_id: client.instance_id.clone(),
            client_id: name.to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: number("rebalance", 60_000),
            session_timeout_ms: number("session", 10_000),
            protocol_type: options.get("type").copied().unwrap_or("consumer").to_owned(),
            protocols: protocols.split(',').map(protocol).collect(),
            needs_known_member_id: !flag("v3") && client.instance_id.is_none(),
            can_skip_assignment: flag("v9"),
            random,
            reason: None,
        };
        self.ask(name, Request::Join { group: "g".into(), join, topics: Default::default() });
    }

    fn sync(&mut self, name: &str, options: &BTreeMap<&str, &str>) {
        let client = self.clients.get(name).cloned().unwrap_or_default();
        let assign = |id: &String| (id.clone(), Bytes::from(format!("for-{}", short(id))));
        let sync = SyncRequest {
            caller: self.caller(name, options),
            protocol_type: None,
            protocol: options.get("protocol").map(|text| (*text).to_owned()),
            assignments: client.led.iter().map(assign).collect(),
        };
        self.ask(name, Request::Sync { group: "g".into(), sync });
    }

    fn leave(&mut self, name: &str, options: &BTreeMap<&str, &str>) {
        let client = self.clients.get(name).cloned().unwrap_or_default();
        let instance_id = options.get("static").map(|id| (*id).to_owned());
        let by_instance = instance_id.is_some();
        let member = LeavingMember {
            member_id: if by_instance { String::new() } else { client.member_id },
            instance_id: instance_id.or(client.instance_id),
            reason: None,
        };
        self.ask(name, Request::Leave { group: "g".into(), members: vec![member] });
    }

    fn commit(&mut self, name: &str, words: &[&str], options: &BTreeMap<&str, &str>) {
        let mut offsets = Vec::new();
        for word in words.iter().filter_map(|word| word.split_once('=')) {
            let (partition, what) = word;
            if !partition.contains('-') {
                continue;
            }
            let (offset, metadata) = what.split_once(':').unwrap_or((what, ""));
            let commit = OffsetCommit {
                offset: offset.parse().expect("an offset"),
                leader_epoch: -1,
                metadata: metadata.to_owned(),
                commit_ms: self.now.wall_ms,
                expire_ms: options
                    .get("expire")
                    .map(|ms| self.now.wall_ms + ms.parse::<i64>().expect("milliseconds")),
            };
            offsets.push((topic_partition(partition), commit));
        }
        let producer = options
            .get("txn")
            .map(|id| Producer { id: id.parse().expect("a producer id"), epoch: 0 });
        let caller = self.caller(name, options);
        let commit = CommitRequest { caller, producer, guard: None, knows_epochs: true, offsets };
        self.ask(name, Request::Commit { group: "g".into(), commit });
    }

    /// The marker is in the log before the coordinator hears of it.
    fn end(&mut self, producer: &str, how: &str) {
        let producer_id = producer.parse().expect("a producer id");
        let marker = if how == "commit" { Marker::Commit } else { Marker::Abort };
        self.log.push(StoredBatch::Marker { producer_id, marker });
        self.end_offset += 1;
        self.ask("", Request::TransactionEnded { producer_id, marker });
    }

    fn caller(&self, name: &str, options: &BTreeMap<&str, &str>) -> Caller {
        let client = self.clients.get(name).cloned();
        let known = client.is_some();
        let client = client.unwrap_or_default();
        let generation = options
            .get("gen")
            .map(|text| text.parse().expect("a generation"))
            .unwrap_or(if known { client.generation } else { -1 });
        Caller { member_id: client.member_id, instance_id: client.instance_id, generation }
    }

    fn ask(&mut self, name: &str, request: Request) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.callers.insert(ticket, name.to_owned());
        let mut out = Effects::default();
        self.shard.handle(ticket, request, self.now, &mut out);
        self.carry_out(out);
    }

    fn wait(&mut self, ms: i64) {
        let until_ms = self.now.steady_ms + ms;
        while let Some(at_ms) = self.shard.next_deadline_ms().filter(|at| *at <= until_ms) {
            self.advance(at_ms);
            let mut out = Effects::default();
            self.shard.expire(self.now, &mut out);
            self.carry_out(out);
        }
        self.advance(until_ms);
    }

    fn advance(&mut self, steady_ms: i64) {
        let passed_ms = (steady_ms - self.now.steady_ms).max(0);
        self.now.steady_ms += passed_ms;
        self.now.wall_ms += passed_ms;
    }

    fn carry_out(&mut self, out: Effects<GroupRecord, Answer, Pending>) {
        for (ticket, answer) in out.answers {
            let name = self.callers.remove(&ticket).expect("a caller is answered once");
            self.answered(&name, answer);
        }
        self.held.extend(out.appends);
        if !self.holding {
            self.settle(None);
        }
    }

    fn settle(&mut self, failure: Option<AppendError>) {
        self.holding = false;
        for append in std::mem::take(&mut self.held) {
            let outcome = match failure {
                Some(error) => Err(error),
                None => Ok(self.store(&append)),
            };
            let mut out = Effects::default();
            self.shard.appended(append.pending, outcome, self.now, &mut out);
            self.carry_out(out);
        }
    }

    fn store(&mut self, append: &Append<GroupRecord, Pending>) -> i64 {
        let base = self.end_offset;
        let mut stored = Vec::new();
        for record in &append.records {
            self.lines.push(format!("log: {}", show_record(record)));
            let encoded = records::encode(record).expect("short fields");
            let (key, value) = (Some(encoded.key), encoded.value);
            stored.push(StoredRecord { offset: self.end_offset, key, value });
            self.end_offset += 1;
        }
        let transaction = append.producer.map(|producer| producer.id);
        self.log.push(StoredBatch::Records { transaction, records: stored });
        base
    }

    fn reload(&mut self) {
        let mut out = Effects::default();
        self.shard.unload(self.now, &mut out);
        self.held.clear();
        self.carry_out(out);
        // Whoever waited for an append finds the shard gone.
        self.callers.clear();
        self.shard = GroupShard::new(self.config.clone());
        for batch in &self.log {
            self.shard.replay(batch.clone());
        }
        let mut out = Effects::default();
        self.shard.loaded(self.now, &mut out);
        self.carry_out(out);
    }

    fn answered(&mut self, name: &str, answer: Answer) {
        let line = match answer {
            Answer::Join(join) => self.joined(name, join),
            Answer::Sync(sync) => match sync.error {
                Some(error) => format!("{name}: sync {error:?}"),
                None => format!(
                    "{name}: sync ok {} '{}'",
                    sync.protocol.unwrap_or_default(),
                    String::from_utf8_lossy(&sync.assignment)
                ),
            },
            Answer::Heartbeat(result) => format!("{name}: heartbeat {}", show(result.err())),
            Answer::Leave(leave) => {
                let members: Vec<_> = leave.members.into_iter().map(show).collect();
                format!("{name}: leave {}", members.join(" "))
            }
            Answer::Commit(results) => format!("{name}: commit {}", show_results(&results)),
            Answer::Fetch(offsets) => format!("fetched{}", show_offsets(&offsets.unwrap())),
            Answer::Describe(group) => show_group(&group),
            Answer::List(groups) => format!("groups {}", groups.len()),
            Answer::Delete(result) => format!("delete {}", show(result.err())),
            Answer::DeleteOffsets(Ok(all)) => format!("delete-offsets {}", show_results(&all)),
            Answer::DeleteOffsets(Err(error)) => format!("delete-offsets {error:?}"),
            Answer::Done => return,
            new => unreachable!("not of the classic protocol: {new:?}"),
        };
        self.lines.push(line);
    }

    fn joined(&mut self, name: &str, join: JoinAnswer) -> String {
        let client = self.clients.entry(name.to_owned()).or_default();
        let me = short(&join.member_id);
        client.led = join.members.iter().map(|member| member.member_id.to_string()).collect();
        match join.error {
            Some(GroupError::MemberIdRequired) => {
                client.member_id = join.member_id.to_string();
                format!("{name}: join MemberIdRequired as {me}")
            }
            Some(error) => format!("{name}: join {error:?}"),
            None => {
                client.member_id = join.member_id.to_string();
                client.generation = join.generation;
                let mut line = format!(
                    "{name}: join ok as {me} generation {} {} leader {}",
                    join.generation,
                    join.protocol.unwrap_or_default(),
                    short(&join.leader)
                );
                if !client.led.is_empty() {
                    let led: Vec<_> = client.led.iter().map(|id| short(id)).collect();
                    let _ = write!(line, " of {}", led.join(" "));
                }
                if join.skip_assignment {
                    line.push_str(" (skip assignment)");
                }
                line
            }
        }
    }
}

/// `NAME:T1+T2`: a protocol whose metadata is a subscription to these topics; `NAME!`: one whose
/// metadata is no subscription.
fn protocol(text: &str) -> Protocol {
    if let Some(name) = text.strip_suffix('!') {
        return Protocol { name: name.to_owned(), metadata: Bytes::from_static(b"?") };
    }
    let (name, topics) = text.split_once(':').unwrap_or((text, ""));
    let topics: Vec<&str> = topics.split('+').filter(|topic| !topic.is_empty()).collect();
    let mut metadata = BytesMut::new();
    metadata.put_i16(0);
    metadata.put_i32(topics.len() as i32);
    for topic in topics {
        metadata.put_i16(topic.len() as i16);
        metadata.put_slice(topic.as_bytes());
    }
    metadata.put_i32(-1);
    Protocol { name: name.to_owned(), metadata: metadata.freeze() }
}

fn partitions(words: &[&str]) -> Vec<TopicPartition> {
    words.iter().filter(|word| word.contains('-')).map(|word| topic_partition(word)).collect()
}

fn topic_partition(text: &str) -> TopicPartition {
    let (topic, partition) = text.rsplit_once('-').expect("T-P");
    TopicPartition::new(topic, partition.parse().expect("a partition"))
}

fn append_error(name: &str) -> AppendError {
    [
        AppendError::UnknownPartition,
        AppendError::NotLeader,
        AppendError::NotEnoughReplicas,
        AppendError::TimedOut,
        AppendError::TooLarge,
    ]
    .into_iter()
    .find(|error| format!("{error:?}") == name)
    .expect("an append error")
}

/// `NAME#N` of a member id, which ends in a UUID made of N.
fn short(member_id: &str) -> String {
    let Some(at) = member_id.len().checked_sub(37) else { return member_id.to_owned() };
    let number = u64::from_str_radix(&member_id[member_id.len() - 12..], 16).unwrap_or(0);
    format!("{}#{number}", &member_id[..at])
}

fn show(error: Option<GroupError>) -> String {
    error.map_or("ok".to_owned(), |error| format!("{error:?}"))
}

fn show_results(results: &CommitAnswer) -> String {
    let same: BTreeSet<String> = results.iter().map(|(_, error)| show(*error)).collect();
    match (same.len(), same.first()) {
        (1, Some(result)) => result.clone(),
        _ => results.iter().fold(String::new(), |mut text, (partition, error)| {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{partition}={}", show(*error));
            text
        }),
    }
}

fn show_offsets(offsets: &[FetchedOffset]) -> String {
    offsets.iter().fold(String::new(), |mut text, FetchedOffset { partition, commit }| {
        let _ = match commit {
            Err(error) => write!(text, " {partition}={error:?}"),
            Ok(None) => write!(text, " {partition}=none"),
            Ok(Some(commit)) if commit.metadata.is_empty() => {
                write!(text, " {partition}={}", commit.offset)
            }
            Ok(Some(commit)) => write!(text, " {partition}={}:{}", commit.offset, commit.metadata),
        };
        text
    })
}

fn show_group(group: &GroupDescription) -> String {
    let mut line = format!("state {}", group.state);
    for member in &group.members {
        let assignment = String::from_utf8_lossy(&member.assignment);
        let _ = write!(line, " {}='{assignment}'", short(&member.member_id));
    }
    line
}

fn show_record(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { partition, commit: Some(commit), .. } => {
            format!("{partition}={}", commit.offset)
        }
        GroupRecord::Offset { partition, commit: None, .. } => format!("{partition} gone"),
        GroupRecord::Consumer { record, .. } => format!("{record:?}"),
        GroupRecord::Group { snapshot: None, .. } => "group gone".to_owned(),
        GroupRecord::Group { snapshot: Some(group), .. } => {
            let mut line = format!("group generation {}", group.generation);
            if let Some(protocol) = &group.protocol {
                let leader = short(group.leader.as_deref().unwrap_or("nobody"));
                let _ = write!(line, " {protocol} leader {leader}");
            }
            for member in &group.members {
                let assignment = String::from_utf8_lossy(&member.assignment);
                let _ = write!(line, " {}='{assignment}'", short(&member.member_id));
            }
            line
        }
    }
}
