//! Rules on who depends on whom, and under which licences.

use super::Findings;
use crate::places;
use crate::run::cargo;

/// Crate, and the crates of ours that it may name. A crate that is not here is at the top.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("protocol-derive", &[]),
    ("protocol", &["protocol-derive"]),
    ("storage", &["protocol"]),
    ("replica", &["protocol", "storage"]),
    ("client", &["protocol"]),
    ("metadata", &["protocol"]),
    ("controller", &["metadata", "protocol"]),
    ("coordinator", &["protocol"]),
    ("tools", &["client", "storage", "replica", "protocol"]),
    (
        "ottla",
        &[
            "protocol",
            "storage",
            "replica",
            "client",
            "metadata",
            "controller",
            "coordinator",
            "tools",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that must stay free of any runtime.
const WITHOUT_TOKIO: &[&str] = &["protocol", "storage", "replica"];

const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "CC0-1.0",
    "MIT-0",
    "Unlicense",
    "BSL-1.0",
    "Apache-2.0 WITH LLVM-exception",
    "CDLA-Permissive-2.0",
];

pub fn findings() -> Result<Findings, String> {
    let mut found = vec![];
    let ours: Vec<&str> = MAY_NAME.iter().map(|(name, _)| *name).collect();
    for (name, may) in MAY_NAME {
        let direct = tree(name, &["--depth", "1"])?;
        for (dependency, _) in direct.iter().filter(|(d, _)| d != name) {
            if ours.contains(&dependency.as_str()) && !may.contains(&dependency.as_str()) {
                found.push(format!("{name} may not depend on {dependency}"));
            }
        }
        if WITHOUT_TOKIO.contains(name) {
            let all = tree(name, &[])?;
            if all.iter().any(|(d, _)| d == "tokio") {
                found.push(format!("{name} may not reach tokio"));
            }
        }
    }
    for (name, licence) in tree("ottla", &[])? {
        if !permissive(&licence) {
            found.push(format!("{name} is licensed under `{licence}`"));
        }
    }
    Ok(found)
}

/// What `package` is built from, with licences.
fn tree(package: &str, more: &[&str]) -> Result<Vec<(String, String)>, String> {
    let output = cargo()
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}\t{l}",
        ])
        .args(["--package", package])
        .args(more)
        .current_dir(places::root())
        .output()
        .map_err(|e| format!("cargo tree: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines
        .map(|(package, licence)| {
            let name = package.split(' ').next().unwrap_or(package);
            (name.to_owned(), licence.trim_end_matches(" (*)").trim().to_owned())
        })
        .collect())
}

/// Whether some choice that `licence` offers is permissive throughout.
fn permissive(licence: &str) -> bool {
    let flat = licence.replace(['(', ')'], "");
    flat.split(" OR ")
        .flat_map(|part| part.split('/'))
        .any(|choice| choice.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}

#[cfg(test)]
mod tests {
    use super::permissive;

    #[test]
    fn a_choice_is_enough() {
        assert!(permissive("MIT OR GPL-3.0"));
        assert!(permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!permissive("GPL-3.0"));
        assert!(!permissive("MIT AND GPL-3.0"));
        assert!(!permissive(""));
    }
}
