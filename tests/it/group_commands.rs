//! `consumer-groups` beside Apache's of 3.9.2, option by option: the same output, and then the same
//! offsets.

use std::time::Duration;

use tests::clients::kcat;
use tests::group_members::GroupMembers;
use tests::java::source_command;
use tests::ottla::tool;
use tests::{Cluster, Store, process, wait};

const LIMIT: Duration = Duration::from_secs(120);

const SERVED: &str = "\
group.coordinator.rebalance.protocols=classic,consumer
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=200";

/// What each line changes is seen by the next ones. `GROUP` is one group for Apache's tool and
/// another one, of the same name but for its last letter, for ours; `DIR` is where files are.
const COMMANDS: &[&str] = &[
    "--reset-offsets --group GROUP --topic one --to-earliest --dry-run",
    "--reset-offsets --group GROUP --topic one --to-earliest",
    "--reset-offsets --group GROUP --topic one --to-latest --dry-run",
    "--reset-offsets --group GROUP --topic one --to-current --dry-run",
    "--reset-offsets --group GROUP --all-topics --to-current --dry-run",
    "--reset-offsets --group GROUP --topic one --to-offset 3 --dry-run",
    "--reset-offsets --group GROUP --topic one --to-offset 1000 --dry-run",
    "--reset-offsets --group GROUP --topic one:1 --to-offset 2 --dry-run",
    "--reset-offsets --group GROUP --topic one --topic two:0 --to-latest --dry-run",
    "--reset-offsets --group GROUP --topic one --shift-by -2 --dry-run",
    "--reset-offsets --group GROUP --topic one --shift-by 2 --dry-run",
    "--reset-offsets --group GROUP --topic one --shift-by -1000 --dry-run",
    "--reset-offsets --group GROUP --topic one --to-datetime 2001-01-01T00:00:00.000 --dry-run",
    "--reset-offsets --group GROUP --topic one --to-datetime 2001-01-01T00:00:00.000Z --dry-run",
    "--reset-offsets --group GROUP --topic one --to-datetime 2999-01-01T00:00:00.000+02 --dry-run",
    "--reset-offsets --group GROUP --topic one --by-duration P1D --dry-run",
    "--reset-offsets --group GROUP --topic one --by-duration PT0S --dry-run",
    "--reset-offsets --group GROUP --topic one --to-earliest --export --dry-run",
    "--reset-offsets --group GROUP --topic one --to-current --export",
    "--reset-offsets --group GROUP --from-file DIR/one.csv --dry-run",
    "--reset-offsets --group GROUP --from-file DIR/GROUP.csv --dry-run",
    "--reset-offsets --group GROUP --from-file DIR/one.csv --execute",
    "--describe --group GROUP",
    "--describe --group GROUP --offsets",
    "--describe --group GROUP --members",
    "--describe --group GROUP --state",
    "--reset-offsets --group GROUP --topic one --shift-by 1 --execute",
    "--describe --group GROUP",
    "--reset-offsets --group GROUP --topic one --topic two --to-earliest --execute",
    "--describe --group GROUP",
    "--reset-offsets --group GROUP --all-topics --to-latest --execute",
    "--describe --group GROUP",
    "--delete-offsets --group GROUP --topic one:0",
    "--delete-offsets --group GROUP --topic one",
    "--delete-offsets --group GROUP --topic absent",
    "--describe --group GROUP",
    "--reset-offsets --group new-GROUP --topic one --to-earliest --execute",
    "--describe --group new-GROUP",
    "--delete --group new-GROUP",
    "--delete --group new-GROUP",
    "--describe --group new-GROUP",
    "--delete --group GROUP --group absent-GROUP",
];

/// Of a group of KIP-848 that has members; nothing that they are asked changes it.
const OF_MEMBERS: &[&str] = &[
    "--list",
    "--list --type",
    "--list --type consumer",
    "--list --type classic",
    "--list --type consumer,classic --state",
    "--list --state",
    "--list --state Stable",
    "--list --state Empty",
    "--describe --group new",
    "--describe --group new --offsets",
    "--describe --group new --members",
    "--describe --group new --members --verbose",
    "--describe --group new --state",
    "--reset-offsets --group new --topic one --to-earliest --execute",
    "--delete-offsets --group new --topic one",
    "--delete --group new",
    "--describe --all-groups --state",
    "--reset-offsets --all-groups --topic one --to-earliest --dry-run",
];

/// What Apache's tool says of an error, and ours of the same.
const ERRORS: &[(&str, &str)] = &[
    (
        "org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server does not \
         host this topic-partition.",
        "this broker has no such topic or partition",
    ),
    (
        "org.apache.kafka.common.errors.GroupSubscribedToTopicException: Deleting offsets of a \
         topic is forbidden while the consumer group is actively subscribed to it.",
        "the group consumes from the topic",
    ),
    ("The group id does not exist.", "there is no such group"),
    ("The group is not empty.", "the group still has members"),
];

struct Scene {
    cluster: Cluster,
    dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Option<Scene> {
        let cluster = Cluster::start(Store::Embedded, SERVED)?;
        let scene = Scene { cluster, dir: tempfile::tempdir().expect("a temporary directory") };
        for topic in ["one", "two"] {
            scene.ours(&["topics", "--create", "--topic", topic, "--partitions", "2"]);
            for partition in ["0", "1"] {
                let lines: String = (0..10).map(|value| format!("{value}\n")).collect();
                let args = ["-P", "-t", topic, "-p", partition];
                kcat(&scene.cluster.bootstrap(), &args, lines.as_bytes()).ok();
            }
        }
        Some(scene)
    }

    /// One of our tools: the first argument says which.
    fn ours(&self, args: &[&str]) -> String {
        let bootstrap = self.cluster.bootstrap();
        let at = [args[0], "--bootstrap-server", &bootstrap];
        tool(&[&at[..], &args[1..]].concat(), b"").out
    }

    /// What Apache's tool prints with each of these, all in one process.
    fn theirs(&self, commands: &[String]) -> Vec<String> {
        let bootstrap = self.cluster.bootstrap();
        let line = |command: &String| {
            let args = command.split(' ').collect::<Vec<_>>().join("\t");
            format!("--bootstrap-server\t{bootstrap}\t{args}\n")
        };
        let input: String = commands.iter().map(line).collect();
        let mut java = source_command("GroupCommands", &[]);
        let printed = process::run(&mut java, input.as_bytes(), LIMIT).ok();
        let mut answers = Vec::new();
        for part in printed.split("#### ").skip(1) {
            answers.push(part.split_once('\n').expect("a number's line").1.to_owned());
        }
        assert_eq!(answers.len(), commands.len(), "{printed}");
        answers
    }
}

/// Rows may come in any order; how wide a column is depends on the group's name, which is as long
/// in both.
fn rows(printed: &str, group: &str) -> Vec<String> {
    let text = printed.replace(group, "GROUP");
    let in_our_words = |text: String, (theirs, ours): &(&str, &str)| text.replace(theirs, ours);
    let text = ERRORS.iter().fold(text, in_our_words);
    let mut rows: Vec<String> = text.lines().map(|row| row.trim_end().to_owned()).collect();
    rows.sort();
    rows
}

#[test]
fn every_option_as_apaches_tool() {
    let Some(scene) = Scene::start() else { return };
    let dir = scene.dir.path().to_str().expect("UTF-8");
    for group in ["group-a", "group-b"] {
        scene.ours(&[
            "consumer-groups",
            "--reset-offsets",
            "--group",
            group,
            "--topic",
            "one:0",
            "--to-offset",
            "4",
            "--execute",
        ]);
        let plan = format!("\"{group}\",\"one\",0,7\n\"{group}\",\"two\",1,5\n");
        let name = |name: &str| scene.dir.path().join(name);
        std::fs::write(name(&format!("{group}.csv")), plan).expect("room for a file");
        std::fs::write(name("one.csv"), "one,0,6\none,1,1\n").expect("room for a file");
    }
    let of = |group: &str| -> Vec<String> {
        let fill = |line: &&str| line.replace("GROUP", group).replace("DIR", dir);
        COMMANDS.iter().map(fill).collect()
    };
    let theirs = scene.theirs(&of("group-a"));
    let mut different = Vec::new();
    for ((line, theirs), ours) in COMMANDS.iter().zip(theirs).zip(of("group-b")) {
        let args: Vec<&str> = std::iter::once("consumer-groups").chain(ours.split(' ')).collect();
        let ours = scene.ours(&args);
        if rows(&ours, "group-b") != rows(&theirs, "group-a") {
            different.push(format!("{line}\n--- ours\n{ours}\n--- Apache's\n{theirs}"));
        }
    }
    assert!(different.is_empty(), "{}\n{} differ", different.join("\n\n"), different.len());
}

#[test]
fn groups_of_kip_848_as_apaches_tool() {
    let Some(scene) = Scene::start() else { return };
    let bootstrap = scene.cluster.bootstrap();
    let reset = ["consumer-groups", "--reset-offsets", "--group", "old", "--topic", "one"];
    scene.ours(&[&reset[..], &["--to-offset", "4", "--execute"]].concat());
    let mut members = GroupMembers::start("4.1.0", &bootstrap, "one", "consumer");
    members.open("m1", "new", None, Some("instance"));
    members.open("m2", "new", None, None);
    let shared = |name: &str| members.has(name).is_some_and(|has| has.partitions.len() == 1);
    wait::until_true("two to share", LIMIT, || shared("m1") && shared("m2"));
    wait::until_true("all to be read", LIMIT, || members.kept("m").values().sum::<usize>() == 20);
    let commands: Vec<String> = OF_MEMBERS.iter().map(|line| (*line).to_owned()).collect();
    let theirs = scene.theirs(&commands);
    let mut different = Vec::new();
    for (line, theirs) in OF_MEMBERS.iter().zip(theirs) {
        let args: Vec<&str> = std::iter::once("consumer-groups").chain(line.split(' ')).collect();
        let ours = scene.ours(&args);
        if rows(&ours, "GROUP") != rows(&theirs, "GROUP") {
            different.push(format!("{line}\n--- ours\n{ours}\n--- Apache's\n{theirs}"));
        }
    }
    assert!(different.is_empty(), "{}\n{} differ", different.join("\n\n"), different.len());
    members.end();
}
