//! `features` (kafka-features.sh): the cluster's feature levels. Prints what Kafka 3.9's
//! `FeatureCommand` prints.
//!
//! Differs from Apache: there are no KRaft controllers, so `--bootstrap-controller` is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};

use crate::{args, output, properties};

const TOOL: &str = "features";
const METADATA_VERSION: &str = "metadata.version";
/// Names of the levels of `metadata.version`, from 1 on (`MetadataVersion`).
const METADATA_VERSIONS: [&str; 23] = [
    "3.0-IV1", "3.1-IV0", "3.2-IV0", "3.3-IV0", "3.3-IV1", "3.3-IV2", "3.3-IV3", "3.4-IV0",
    "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1",
    "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1",
];
/// What the tool names as supported: 3.3-IV0 to 3.9-IV0.
const SUPPORTED: std::ops::RangeInclusive<usize> = 4..=21;
const TIMEOUT_MS: i32 = 60_000;

/// Show and change the feature levels of a cluster.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long, conflicts_with = "bootstrap_controller")]
    bootstrap_server: Option<String>,
    /// Not supported: there are no KRaft controllers.
    #[arg(long)]
    bootstrap_controller: Option<String>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the levels.
    Describe,
    /// Raise levels.
    Upgrade(Levels),
    /// Lower levels.
    Downgrade {
        #[command(flatten)]
        levels: Levels,
        /// Even if metadata may be lost.
        #[arg(long)]
        r#unsafe: bool,
    },
    /// Lower features to level 0.
    Disable {
        /// A feature; may be given again.
        #[arg(long)]
        feature: Vec<String>,
        /// Even if metadata may be lost.
        #[arg(long)]
        r#unsafe: bool,
        /// Only say whether it can be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Levels {
    /// The level of metadata.version by its name: 3.3-IV3.
    #[arg(long)]
    metadata: Option<String>,
    /// feature=level; may be given again.
    #[arg(long)]
    feature: Vec<String>,
    /// Only say whether it can be done.
    #[arg(long)]
    dry_run: bool,
}

/// `FeatureUpdate.UpgradeType`, by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upgrade = 1,
    SafeDowngrade = 2,
    UnsafeDowngrade = 3,
}

/// What is asked for.
struct Change {
    word: &'static str,
    kind: Kind,
    levels: BTreeMap<String, i16>,
    dry_run: bool,
}

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = &flags.bootstrap_server else {
        let reason = match flags.bootstrap_controller {
            Some(_) => "--bootstrap-controller is not supported: use --bootstrap-server",
            None => "one of the arguments --bootstrap-server --bootstrap-controller is required",
        };
        return args::usage::<Flags>(TOOL, reason);
    };
    let cluster = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| e.to_string())
        .and_then(|p| Cluster::new(bootstrap, &p, "adminclient").map_err(|e| e.to_string()));
    let done = cluster.and_then(|cluster| match change(&flags.action)? {
        None => output::block_on(describe(&cluster)),
        Some(change) => output::block_on(update(&cluster, &change)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// `None` to describe.
fn change(action: &Action) -> Result<Option<Change>, String> {
    let down = |r#unsafe| if r#unsafe { Kind::UnsafeDowngrade } else { Kind::SafeDowngrade };
    let change = match action {
        Action::Describe => return Ok(None),
        Action::Upgrade(given) => Change {
            word: "upgrade",
            kind: Kind::Upgrade,
            levels: levels(given)?,
            dry_run: given.dry_run,
        },
        Action::Downgrade { levels: given, r#unsafe } => Change {
            word: "downgrade",
            kind: down(*r#unsafe),
            levels: levels(given)?,
            dry_run: given.dry_run,
        },
        Action::Disable { feature, r#unsafe, dry_run } => {
            let mut all = BTreeMap::new();
            for name in feature {
                once(&mut all, name, 0)?;
            }
            Change { word: "disable", kind: down(*r#unsafe), levels: all, dry_run: *dry_run }
        }
    };
    match change.levels.is_empty() {
        true => Err(format!("You must specify at least one feature to {}", change.word)),
        false => Ok(Some(change)),
    }
}

fn once(levels: &mut BTreeMap<String, i16>, name: &str, level: i16) -> Result<(), String> {
    match levels.insert(name.to_owned(), level) {
        None => Ok(()),
        Some(_) => Err(format!("Feature {name} was specified more than once.")),
    }
}

fn levels(given: &Levels) -> Result<BTreeMap<String, i16>, String> {
    let mut all = BTreeMap::new();
    if let Some(name) = &given.metadata {
        let level = level_of(name).ok_or_else(|| {
            let known = METADATA_VERSIONS[*SUPPORTED.start() - 1..*SUPPORTED.end()].join(", ");
            format!("Unsupported metadata.version {name}. Supported metadata.version are {known}")
        })?;
        all.insert(METADATA_VERSION.to_owned(), level);
    }
    for text in &given.feature {
        let wrong = |why: &str| format!("Can't parse feature=level string {text}: {why}");
        let (name, level) = text.split_once('=').ok_or_else(|| wrong("equals sign not found."))?;
        let (name, level) = (name.trim(), level.trim());
        let level =
            level.parse().map_err(|_| wrong(&format!("unable to parse {level} as a short.")))?;
        once(&mut all, name, level)?;
    }
    Ok(all)
}

/// The level of a version by its name; a release stands for its last level. Versions before 3.0
/// have none (−1).
fn level_of(name: &str) -> Option<i16> {
    let exact = METADATA_VERSIONS.iter().position(|known| *known == name);
    let release =
        || METADATA_VERSIONS.iter().rposition(|known| known.split('-').next() == Some(name));
    exact.or_else(release).map(|at| at as i16 + 1)
}

fn shown(feature: &str, level: i16) -> String {
    if feature != METADATA_VERSION {
        return level.to_string();
    }
    let known = usize::try_from(level).ok().filter(|level| *level > 0);
    match known.and_then(|level| METADATA_VERSIONS.get(level - 1)) {
        Some(name) => (*name).to_owned(),
        None => format!("UNKNOWN {level}"),
    }
}

async fn describe(cluster: &Cluster) -> Result<(), String> {
    let connection = cluster.any("describeFeatures").await.map_err(|e| e.to_string())?;
    let versions = connection.api_versions().ok_or("the broker told no versions")?;
    let mut supported: Vec<_> = versions.supported_features.iter().collect();
    supported.sort_by(|a, b| a.name.cmp(&b.name));
    let epoch = match versions.finalized_features_epoch {
        epoch if epoch >= 0 => epoch.to_string(),
        _ => "-".to_owned(),
    };
    let mut out = String::new();
    for feature in supported {
        let name = &feature.name;
        let finalized = versions.finalized_features.iter().find(|f| f.name == *name);
        let level = finalized.map_or(0, |f| f.max_version_level);
        out.push_str(&format!(
            "Feature: {name}\tSupportedMinVersion: {}\tSupportedMaxVersion: {}\t\
             FinalizedVersionLevel: {}\tEpoch: {epoch}\n",
            shown(name, feature.min_version),
            shown(name, feature.max_version),
            shown(name, level)
        ));
    }
    output::print(&out);
    Ok(())
}

async fn update(cluster: &Cluster, change: &Change) -> Result<(), String> {
    let feature_updates = change
        .levels
        .iter()
        .map(|(feature, level)| FeatureUpdateKey {
            feature: feature.clone(),
            max_version_level: *level,
            upgrade_type: change.kind as i8,
            ..Default::default()
        })
        .collect();
    let request = UpdateFeaturesRequest {
        timeout_ms: TIMEOUT_MS,
        feature_updates,
        validate_only: change.dry_run,
    };
    let answer = cluster.call_controller(&request, |r| vec![r.error_code]).await;
    let mut failures = 0;
    for (feature, level) in &change.levels {
        let result = match &answer {
            Ok(response) => {
                let own = response.results.iter().find(|result| result.feature == *feature);
                let (code, message) = match own {
                    Some(own) => (own.error_code, own.error_message.as_ref()),
                    None => (response.error_code, response.error_message.as_ref()),
                };
                ClusterError::check(code, message)
            }
            Err(error) => Err(error.clone()),
        };
        failures += usize::from(result.is_err());
        output::print(&told(change, feature, *level, result.err()));
    }
    match failures {
        0 => Ok(()),
        failed => Err(format!("{failed} out of {} operation(s) failed.", change.levels.len())),
    }
}

fn told(change: &Change, feature: &str, level: i16, error: Option<ClusterError>) -> String {
    let disable = change.word == "disable";
    let Some(error) = error else {
        let verb = if change.dry_run { "can be" } else { "was" };
        return match disable {
            true => format!("{feature} {verb} disabled.\n"),
            false => format!("{feature} {verb} {}d to {level}.\n", change.word),
        };
    };
    let cannot = if change.dry_run { "Can not" } else { "Could not" };
    let what = match disable {
        true => format!("disable {feature}"),
        false => format!("{} {feature} to {level}", change.word),
    };
    let reason =
        match error.is_unsupported() && error.code() != Some(ErrorCode::UNSUPPORTED_VERSION) {
            true => "The node does not support UPDATE_FEATURES".to_owned(),
            false => error.to_string(),
        };
    format!("{cannot} {what}. {reason}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(given: &[&str]) -> Result<Option<Change>, String> {
        let given: Vec<String> = given.iter().map(|s| s.to_string()).collect();
        let flags: Flags = args::parse(TOOL, &given).unwrap();
        change(&flags.action)
    }

    fn levels_of(given: &[&str]) -> BTreeMap<String, i16> {
        asked(given).unwrap().unwrap().levels
    }

    #[test]
    fn levels_have_names() {
        assert_eq!(levels_of(&["upgrade", "--metadata", "3.9-IV0"])[METADATA_VERSION], 21);
        assert_eq!(levels_of(&["upgrade", "--metadata", "3.7"])[METADATA_VERSION], 19);
        assert_eq!(shown(METADATA_VERSION, 21), "3.9-IV0");
        assert_eq!(shown(METADATA_VERSION, 0), "UNKNOWN 0");
        assert_eq!(shown("group.version", 1), "1");
    }

    #[test]
    fn wrong_levels_are_refused_in_kafkas_words() {
        for (given, reason) in [
            (&["upgrade"][..], "You must specify at least one feature to upgrade"),
            (&["disable", "--feature=a", "--feature=a"], "Feature a was specified more than once."),
            (
                &["downgrade", "--feature=a"],
                "Can't parse feature=level string a: equals sign not found.",
            ),
            (
                &["downgrade", "--feature=a=x"],
                "Can't parse feature=level string a=x: unable to parse x as a short.",
            ),
        ] {
            assert_eq!(asked(given).err().as_deref(), Some(reason));
        }
        let unknown = asked(&["upgrade", "--metadata=5.0"]).err().unwrap();
        assert!(
            unknown.ends_with(
                "are 3.3-IV0, 3.3-IV1, 3.3-IV2, 3.3-IV3, 3.4-IV0, 3.5-IV0, \
            3.5-IV1, 3.5-IV2, 3.6-IV0, 3.6-IV1, 3.6-IV2, 3.7-IV0, 3.7-IV1, 3.7-IV2, 3.7-IV3, \
            3.7-IV4, 3.8-IV0, 3.9-IV0"
            ),
            "{unknown}"
        );
    }
}
