//! Tools that manage several brokers, ours beside Apache's, at three brokers: the same flags give
//! the same standard output and exit code, and what one begins the other sees and ends.

use std::path::PathBuf;
use std::time::Duration;

use tests::brokers::{Brokers, Plan};
use tests::process::Output;
use tests::{java, ottla, wait};

const REASSIGN: (&str, &str) =
    ("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "reassign-partitions");
const ELECT: (&str, &str) = ("org.apache.kafka.tools.LeaderElectionCommand", "leader-election");
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster and a directory for plans.
struct Scene {
    brokers: Brokers,
    dir: tempfile::TempDir,
}

impl Scene {
    fn ours(&self, tool: (&str, &str), args: &[&str]) -> Output {
        let at = self.brokers.bootstrap();
        ottla::tool(&[&[tool.1, "--bootstrap-server", &at], args].concat(), b"")
    }

    fn theirs(&self, tool: (&str, &str), args: &[&str]) -> Output {
        let at = self.brokers.bootstrap();
        java::tool(tool.0, &[&["--bootstrap-server", &at], args].concat(), b"")
    }

    /// Both tools, which must say the same. Where they fail, Apache's adds a stack trace.
    #[track_caller]
    fn both(&self, tool: (&str, &str), args: &[&str]) -> String {
        let (theirs, ours) = (self.theirs(tool, args), self.ours(tool, args));
        assert_eq!(ours.code, theirs.code, "{args:?}\nours: {ours:#?}\nApache's: {theirs:#?}");
        let said = |output: &Output| match output.code {
            Some(0) => output.out.clone(),
            _ => output.out.lines().next().unwrap_or_default().to_owned(),
        };
        assert_eq!(said(&ours), said(&theirs), "{args:?}");
        said(&ours)
    }

    /// A plan that puts partition 0 of `moved` on these brokers.
    fn plan(&self, replicas: &str) -> String {
        let path: PathBuf = self.dir.path().join(replicas.replace(',', "-"));
        let text = format!(
            r#"{{"partitions":[{{"topic":"moved","partition":0,"replicas":[{replicas}]}}]}}"#
        );
        std::fs::write(&path, text).expect("a plan");
        path.to_str().expect("a plain path").to_owned()
    }

    #[track_caller]
    fn wait_moved(&self, to: &[i32]) {
        wait::until_true(&format!("moved-0 on {to:?}"), LIMIT, || {
            let isr = self.brokers.znodes().partition("moved", 0).map(|p| p.isr);
            isr.is_some_and(|mut isr| {
                isr.sort_unstable();
                isr == to
            })
        });
    }
}

fn scene() -> Option<Scene> {
    // Five seconds after its election a controller would bring leaders back by itself.
    let brokers = Plan::subject().lines("auto.leader.rebalance.enable=false").start()?;
    brokers.ask_for_topic("moved", &["--replica-assignment", "1:2,2:3"]);
    wait::until_true("moved's replicas", LIMIT, || {
        let partitions = brokers.znodes().partitions("moved");
        partitions.len() == 2 && partitions.iter().all(|p| p.isr.len() == 2)
    });
    Some(Scene { brokers, dir: tempfile::tempdir().expect("a temporary directory") })
}

#[test]
fn reassignments() {
    let Some(scene) = scene() else { return };
    let (here, there) = (scene.plan("1,2"), scene.plan("3,1"));
    let file = |plan: &str| format!("--reassignment-json-file={plan}");
    assert_eq!(scene.both(REASSIGN, &["--list"]), "No partition reassignments found.\n");
    let told = scene.both(REASSIGN, &["--verify", &file(&here)]);
    assert!(told.contains("Reassignment of partition moved-0 is completed."), "{told}");
    let told = scene.both(REASSIGN, &["--verify", &file(&there), "--preserve-throttles"]);
    assert!(told.contains("replica set is 1,2 rather than 3,1"), "{told}");
    let told = scene.both(REASSIGN, &["--cancel", &file(&there)]);
    assert!(told.starts_with("None of the specified partition reassignments"), "{told}");
    let told = scene.both(REASSIGN, &["--execute", &file(&scene.plan("1,9"))]);
    assert_eq!(told, "Error: Unknown broker id 9");
    // Each tool moves it once; the other one verifies, and lifts the throttle.
    let throttled = ["--execute", "--throttle", "10000000"];
    let started = "Successfully started partition reassignment for moved-0\n";
    let told = scene.ours(REASSIGN, &[&throttled[..], &[&file(&there)]].concat()).ok();
    assert!(told.ends_with(started), "{told}");
    scene.wait_moved(&[1, 3]);
    let done = |verify: &dyn Fn() -> String| {
        wait::until_true("the reassignment's end", LIMIT, || verify().contains("is completed."));
    };
    done(&|| scene.theirs(REASSIGN, &["--verify", &file(&there)]).ok());
    let told = scene.theirs(REASSIGN, &[&throttled[..], &[&file(&here)]].concat()).ok();
    assert!(told.ends_with(started), "{told}");
    scene.wait_moved(&[1, 2]);
    done(&|| scene.ours(REASSIGN, &["--verify", &file(&here)]).ok());
    let told = scene.both(REASSIGN, &["--verify", &file(&here)]);
    assert!(told.contains("Clearing broker-level throttles on brokers 1,2,3"), "{told}");
}

#[test]
fn elections() {
    let Some(mut scene) = scene() else { return };
    let preferred = ["--election-type", "preferred", "--topic", "moved", "--partition", "0"];
    let told = scene.both(ELECT, &preferred);
    assert_eq!(told, "Valid replica already elected for partitions moved-0\n");
    let absent = ["--election-type", "preferred", "--topic", "absent", "--partition", "0"];
    let told = scene.both(ELECT, &absent);
    assert!(told.contains("UnknownTopicOrPartitionException"), "{told}");
    let unclean = ["--election-type", "UNCLEAN", "--topic", "moved", "--partition", "1"];
    scene.both(ELECT, &unclean);
    let all = ["--election-type", "preferred", "--all-topic-partitions"];
    for elect in [Scene::ours, Scene::theirs] {
        scene.brokers.stop(1);
        wait::until_true("another leader", LIMIT, || {
            scene.brokers.znodes().partition("moved", 0).is_some_and(|p| p.leader == 2)
        });
        scene.brokers.restart(1);
        scene.wait_moved(&[1, 2]);
        let told = elect(&scene, ELECT, &all).ok();
        let done = "Successfully completed leader election (PREFERRED) for partitions ";
        assert!(told.starts_with(done) && told.contains("moved-0"), "{told}");
        assert_eq!(scene.brokers.leader("moved", 0), 1);
    }
}

/// README's four commands: nothing is lost, and nobody has to wait until the cluster has noticed.
#[test]
fn failover_in_four_commands() {
    let Some(mut brokers) = Plan::subject().start() else { return };
    brokers.create_topic_with("failover", &["--replica-assignment", "1:2:3"]);
    let bootstrap = brokers.bootstrap();
    let lines: String = (1..=1000).map(|number| format!("{number}\n")).collect();
    let at = ["--bootstrap-server", &bootstrap, "--topic", "failover"];
    ottla::tool(&[&["console-producer"], &at[..]].concat(), lines.as_bytes()).ok();
    brokers.kill9(1);
    let all = ["--from-beginning", "--max-messages", "1000"];
    let read = ottla::tool(&[&["console-consumer"], &at[..], &all].concat(), b"").ok();
    assert_eq!(read, lines);
}
