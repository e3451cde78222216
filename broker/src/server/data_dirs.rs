//! The log directories as the start finds them: locked, and of one broker and one cluster; then the
//! logs inside. Knows nothing of partitions' roles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::TopicPartition;
use storage::StorageError;
use storage::checkpoint::MetaProperties;
use storage::disk::Disk;
use storage::log_dir::{DirKind, LogDir};
use storage::log_manager::LogManager;
use storage::metadata_mark::MetadataMark;

use super::StartError;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;

/// Locked log directories; the locks go with them.
pub struct DataDirs {
    /// Those that can be used.
    pub paths: Vec<PathBuf>,
    /// What the directories that were used before agree on.
    pub known: Option<MetaProperties>,
    /// The highest epochs that any of them tells of.
    pub mark: MetadataMark,
    dirs: Vec<LogDir>,
}

impl DataDirs {
    /// Makes what is missing, locks all and reads their small files. A directory that cannot be
    /// read, or whose files are damaged, is left out while another can be used, as Kafka does it;
    /// `first_needed`: but not the first, which holds the embedded metadata.
    pub fn open(
        disk: &Arc<dyn Disk>,
        paths: &[PathBuf],
        first_needed: bool,
    ) -> Result<DataDirs, StartError> {
        let mark = read_marks(&**disk, paths);
        let mut all = DataDirs { paths: Vec::new(), known: None, mark, dirs: Vec::new() };
        let mut reasons = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            match all.add(disk, path) {
                Ok(()) => {}
                Err(NotAdded::Refused(error)) => return Err(error),
                Err(NotAdded::Unreadable(reason)) if first_needed && index == 0 => {
                    return Err(unusable(path, &reason));
                }
                Err(NotAdded::Unreadable(reason)) => {
                    let dir = path.display();
                    tracing::error!(%dir, reason, "a log directory cannot be used: left out");
                    all.dirs.push(LogDir::unusable(disk.clone(), path));
                    reasons.push(reason);
                }
            }
        }
        all.some_usable(&reasons)?;
        Ok(all)
    }

    fn add(&mut self, disk: &Arc<dyn Disk>, path: &Path) -> Result<(), NotAdded> {
        disk.create_dir(path).map_err(|error| NotAdded::Unreadable(error.to_string()))?;
        let path = disk.canonical(path);
        let path = path.map_err(|error| NotAdded::Unreadable(error.to_string()))?;
        let dir = LogDir::open(disk.clone(), &path)?;
        if let Some(meta) = dir.meta() {
            let known = self.known.get_or_insert_with(|| meta.clone());
            let other_broker = differ(&mut known.broker_id, meta.broker_id);
            if other_broker | differ(&mut known.cluster_id, meta.cluster_id) {
                let reason = "it is of another broker or cluster than the directories before it";
                return Err(NotAdded::Refused(unusable(&path, &reason)));
            }
        }
        self.paths.push(path);
        self.dirs.push(dir);
        Ok(())
    }

    fn some_usable(&self, reasons: &[String]) -> Result<(), StartError> {
        if self.dirs.iter().any(|dir| !dir.is_offline()) {
            return Ok(());
        }
        let reasons = reasons.join("; ");
        Err(StartError::DataDir(format!("no log directory can be used: {reasons}")))
    }

    /// Marks the directories as this broker's, then loads every log, with
    /// `num.recovery.threads.per.data.dir` threads for each directory.
    pub async fn load(
        self,
        disk: Arc<dyn Disk>,
        config: &BrokerConfig,
        (broker_id, cluster_id): (i32, &str),
        topics: Arc<TopicConfigs>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<LogManager, StartError> {
        let mut reasons = Vec::new();
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            match dir.check_identity(broker_id, cluster_id) {
                Ok(()) => {}
                Err(StorageError::Disk(error)) => {
                    tracing::error!(dir = %dir.path().display(), %error, "left out");
                    dir.set_offline();
                    reasons.push(error.to_string());
                }
                Err(error) => return Err(refused(error)),
            }
        }
        self.some_usable(&reasons)?;
        let threads = config.int("num.recovery.threads.per.data.dir").max(1) as usize;
        let threads = threads.saturating_mul(self.dirs.len());
        let accepted: Vec<TopicPartition> = config
            .list("ottla.log.accept.loss")
            .iter()
            .filter_map(|name| partition(name))
            .collect();
        let load = move || {
            let now_ms = clock.now_ms();
            let mut logs = LogManager::new(disk, self.dirs, false, now_ms).map_err(refused)?;
            logs.accept_loss_of(accepted);
            let config_of = |topic: &str| topics.of(topic);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| logs.load_all(&config_of, now_ms));
                }
                logs.load_all(&config_of, now_ms);
            });
            match logs.dirs().iter().all(LogDir::is_offline) {
                true => Err(StartError::DataDir("every log directory failed".to_owned())),
                false => Ok(logs),
            }
        };
        tasks.blocking(load).await
    }
}

/// Why a directory is not among those that are served.
enum NotAdded {
    /// It is left out.
    Unreadable(String),
    /// It stops the start.
    Refused(StartError),
}

impl From<StorageError> for NotAdded {
    fn from(error: StorageError) -> NotAdded {
        match error {
            StorageError::Disk(_) | StorageError::Corrupt { .. } => {
                NotAdded::Unreadable(error.to_string())
            }
            error => NotAdded::Refused(refused(error)),
        }
    }
}

/// Whether both are known and differ; what only the second knows, the first then knows too.
fn differ<T: PartialEq>(known: &mut Option<T>, found: Option<T>) -> bool {
    match (&known, found) {
        (Some(known), Some(found)) => *known != found,
        (None, found) => {
            *known = found;
            false
        }
        _ => false,
    }
}

/// The highest epochs that the directories tell of, read before anything is changed. A damaged mark
/// tells nothing: if none is readable, the start goes on as on directories that Apache's broker
/// left. To stop it would cost more: the mark only guards against a ZooKeeper that was set back. It
/// is written anew with the next registration (`history::keep`).
fn read_marks(disk: &dyn Disk, paths: &[PathBuf]) -> MetadataMark {
    let mut highest = None;
    let mut damaged = Vec::new();
    for path in paths {
        match MetadataMark::read(disk, path) {
            Ok(None) => {}
            Ok(Some(mark)) => highest = Some(mark.max(highest.unwrap_or_default())),
            Err(error @ StorageError::Corrupt { .. }) => damaged.push(error.to_string()),
            // The directory is left out for it.
            Err(_) => {}
        }
    }
    match (highest, damaged.join("; ")) {
        (_, damaged) if damaged.is_empty() => {}
        (Some(_), damaged) => {
            tracing::warn!(damaged, "a mark of the metadata's epochs is damaged: another counts");
        }
        (None, damaged) => tracing::error!(
            damaged,
            "no mark of the metadata's epochs can be read: whether ZooKeeper was restored from an \
             older state is not checked in this start"
        ),
    }
    highest.unwrap_or_default()
}

/// `topic-partition`, as its directory is named.
fn partition(name: &str) -> Option<TopicPartition> {
    match DirKind::parse(name) {
        Some(DirKind::Partition(partition)) => Some(partition),
        _ => {
            tracing::warn!(name, "ottla.log.accept.loss: not a partition");
            None
        }
    }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> StartError {
    StartError::DataDir(format!("{}: {reason}", path.display()))
}

fn refused(error: StorageError) -> StartError {
    match &error {
        StorageError::Locked { path } => unusable(path, &"another process has it locked"),
        _ => StartError::DataDir(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use storage::checkpoint::{HIGH_WATERMARK_FILE, META_PROPERTIES_FILE, RECOVERY_POINT_FILE};
    use storage::disk::OsDisk;
    use storage::metadata_mark::METADATA_MARK_FILE;

    use super::*;

    /// Two directories of broker 1 with these bytes in the first one's file.
    fn two(file: &str, bytes: &[u8]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let temp = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| temp.path().join(name)).to_vec();
        for path in &paths {
            std::fs::create_dir(path).unwrap();
            let meta = "version=0\nbroker.id=1\ncluster.id=x\n";
            std::fs::write(path.join(META_PROPERTIES_FILE), meta).unwrap();
        }
        std::fs::write(paths[0].join(file), bytes).unwrap();
        (temp, paths)
    }

    fn open(paths: &[PathBuf], first_needed: bool) -> Result<DataDirs, String> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
        DataDirs::open(&disk, paths, first_needed).map_err(|error| error.to_string())
    }

    #[test]
    fn a_damaged_file_costs_at_most_its_directory() {
        for (file, bytes, lost) in [
            (HIGH_WATERMARK_FILE, &b"junk"[..], true),
            (HIGH_WATERMARK_FILE, b"1\n0\n", true),
            (HIGH_WATERMARK_FILE, b"0\n2\nt 0 5\n", true),
            (HIGH_WATERMARK_FILE, b"\xff\xfe\n", true),
            (HIGH_WATERMARK_FILE, b"", false),
            (RECOVERY_POINT_FILE, b"junk", false),
            (META_PROPERTIES_FILE, b"version=2\n", true),
            (META_PROPERTIES_FILE, b"broker.id=abc\n", true),
            (META_PROPERTIES_FILE, b"", false),
            (META_PROPERTIES_FILE, b"\xff\xfe\n", false),
        ] {
            let what = format!("{file} {bytes:?}");
            let (_temp, paths) = two(file, bytes);
            let all = open(&paths, false).expect(&what);
            assert_eq!(all.paths.len(), if lost { 1 } else { 2 }, "{what}");
            assert_eq!(all.known.as_ref().and_then(|meta| meta.broker_id), Some(1), "{what}");
            drop(all);
            assert_eq!(open(&paths[..1], false).is_err(), lost, "{what}: the only one");
            let reason = open(&paths, true).err();
            assert_eq!(reason.is_some(), lost, "{what}: the one with the embedded metadata");
            assert!(reason.is_none_or(|reason| reason.contains(file)), "{what}");
        }
    }

    #[test]
    fn a_directory_of_another_broker_or_mode_stops_the_start() {
        for text in ["broker.id=2\n", "cluster.id=y\n", "version=1\nnode.id=1\n"] {
            let (_temp, paths) = two(META_PROPERTIES_FILE, text.as_bytes());
            assert!(open(&paths, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_damaged_mark_costs_nothing() {
        for junk in [&b""[..], b"junk", b"\xff\xfe", b"version=1\nczxid=9\n", &[b'9'; 5000]] {
            let (_temp, paths) = two(METADATA_MARK_FILE, junk);
            for (paths, first_needed) in
                [(&paths[..1], false), (&paths[..1], true), (&paths, false)]
            {
                let all = open(paths, first_needed).expect("nothing else is damaged");
                assert_eq!((all.mark, all.paths.len()), (MetadataMark::default(), paths.len()));
            }
            let mark = MetadataMark { czxid: 9, controller_epoch: 4 };
            mark.write(&OsDisk::default(), &paths[1]).unwrap();
            let all = open(&paths, false).unwrap();
            assert_eq!((all.mark, all.paths.len()), (mark, 2), "the readable one counts");
        }
    }
}
