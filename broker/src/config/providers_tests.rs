//! Tests of [`super`]: what Kafka's providers find, and what they do not.

use std::io::Write;

use super::*;

const CLASSES: &str = "org.apache.kafka.common.config.provider.";

fn settings(pairs: &[(&str, &str)]) -> Vec<Setting> {
    let setting = |(key, value): &(&str, &str)| {
        Setting::new((*key).to_owned(), (*value).to_owned(), "f".to_owned())
    };
    pairs.iter().map(setting).collect()
}

/// A directory with a properties file and two plain ones.
fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::File::create(path).and_then(|mut file| file.write_all(text)).expect("written");
    };
    write("secrets.properties", "password = hunter\\\n2\nname=Jürgen\nport: 9192\n".as_bytes());
    write("rack", b"a\n");
    write("latin", b"caf\xe9");
    std::fs::create_dir(dir.path().join("sub")).expect("a directory");
    dir
}

/// What becomes of each value, with all of Kafka's providers in force.
fn resolved(dir: &Path, values: &[&str]) -> (Vec<String>, Vec<String>) {
    let file = format!("{CLASSES}FileConfigProvider");
    let directory = format!("{CLASSES}DirectoryConfigProvider");
    let env = format!("{CLASSES}EnvVarConfigProvider");
    let mut all = settings(&[
        // The blank is part of the name, as with Kafka: that one is never found.
        ("config.providers", "file,dir,env, other,classless"),
        ("config.providers.file.class", &file),
        ("config.providers.dir.class", &directory),
        ("config.providers.env.class", &env),
        ("config.providers.env.param.allowlist.pattern", "CARGO_.*"),
        ("config.providers.other.class", &env),
    ]);
    let first = all.len();
    for value in values {
        let value = value.replace("DIR", &dir.display().to_string());
        all.push(Setting::new("log.dir".to_owned(), value, "f:9".to_owned()));
    }
    let warnings = resolve(&mut all).expect("all can be read");
    let values = all.split_off(first).into_iter().map(|setting| setting.value);
    (values.collect(), warnings)
}

#[test]
fn variables_are_replaced_and_what_is_not_found_stays() {
    let dir = files();
    // Values and what becomes of them; `=` is no change, `?` no change with a warning.
    let table = [
        ("${file:DIR/secrets.properties:password}", "hunter2"),
        (
            "a${file:DIR/secrets.properties:name}b${file:DIR/secrets.properties:port}",
            "aJürgenb9192",
        ),
        ("${file:DIR/secrets.properties:none}", "?"),
        ("${file:name}", "?"),
        ("${dir:DIR:rack}", "a\n"),
        ("${dir:DIR:latin}", "caf\u{fffd}"),
        ("${dir:DIR:sub}", "?"),
        ("${dir:DIR/sub:../rack}", "?"),
        ("${dir:DIR/rack:rack}", "?"),
        ("${dir:DIR/nowhere:rack}", "?"),
        ("${env:CARGO_PKG_NAME}", "ottla"),
        ("${env::CARGO_PKG_NAME}", "ottla"),
        ("${env:PATH}", "?"),
        ("${env:CARGO_NOT_THERE}", "?"),
        ("${other:CARGO_PKG_NAME}", "="),
        ("${classless:x}", "="),
        ("${plain} $env ${env:CARGO_PKG_NAME", "="),
        ("${plain}${env:CARGO_PKG_NAME}", "${plain}ottla"),
    ];
    let texts: Vec<&str> = table.iter().map(|(text, _)| *text).collect();
    let (values, warnings) = resolved(dir.path(), &texts);
    let mut expected_warnings = 0;
    for ((text, expected), value) in table.iter().zip(values) {
        let text = text.replace("DIR", &dir.path().display().to_string());
        expected_warnings += usize::from(*expected == "?");
        let expected =
            if matches!(*expected, "=" | "?") { text.clone() } else { (*expected).into() };
        assert_eq!(value, expected, "{text}");
    }
    assert_eq!(warnings.len(), expected_warnings, "{warnings:?}");
    assert!(warnings[0].starts_with("f:9: log.dir: ${file:"), "{warnings:?}");
    assert!(warnings[0].ends_with(":none} was not found"), "{warnings:?}");
}

#[test]
fn nothing_is_looked_up_without_providers() {
    let mut all = settings(&[("log.dir", "${env:CARGO_PKG_NAME}")]);
    assert_eq!(resolve(&mut all), Ok(Vec::new()));
    assert_eq!(all[0].value, "${env:CARGO_PKG_NAME}");
    assert!(!all[0].secret);
}

#[test]
fn allowed_paths_bound_what_is_read() {
    let dir = files();
    let root = dir.path().display().to_string();
    let file = format!("{CLASSES}FileConfigProvider");
    let look_up = |allowed: &str, path: &str| {
        let value = format!("${{file:{path}:port}}");
        let mut all = settings(&[
            ("config.providers", "file"),
            ("config.providers.file.class", &file),
            ("config.providers.file.param.allowed.paths", allowed),
            ("num.partitions", &value),
        ]);
        resolve(&mut all).map(|_| all[3].value != value)
    };
    let secrets = format!("{root}/secrets.properties");
    assert_eq!(look_up(&root, &secrets), Ok(true));
    assert_eq!(look_up("", &secrets), Ok(true));
    assert_eq!(look_up(&format!("/etc,{root}/sub/../,"), &secrets), Ok(true));
    assert_eq!(look_up(&format!("{root}/sub"), &secrets), Ok(false));
    assert_eq!(
        look_up(&format!("{root}/sub"), &format!("{root}/sub/../secrets.properties")),
        Ok(false)
    );
    // A path that only begins with the same letters.
    assert_eq!(look_up(&format!("{root}/rack"), &format!("{root}/rack2")), Ok(false));
    for allowed in ["relative", "/nowhere/at/all", " /etc"] {
        let faults = look_up(allowed, &secrets).expect_err(allowed);
        assert_eq!(faults[0].key, "config.providers.file.param.allowed.paths");
    }
}

#[test]
fn what_cannot_be_read_ends_the_start_with_its_key() {
    let dir = files();
    let latin = dir.path().join("latin").display().to_string();
    let file = format!("{CLASSES}FileConfigProvider");
    let env = format!("{CLASSES}EnvVarConfigProvider");
    let table = [
        ("a.B", "1", "config.providers.p.class"),
        (file.as_str(), "${p:/nowhere:x}", "num.partitions"),
        (&file, &format!("${{p:{latin}:x}}"), "num.partitions"),
        (&file, &format!("${{p:{}:x}}", dir.path().display()), "num.partitions"),
        (&file, "${p:/dev/zero:x}", "num.partitions"),
        (&env, "${p:/path:PATH}", "num.partitions"),
    ];
    for (class, value, key) in table {
        let mut all = settings(&[
            ("config.providers", "p"),
            ("config.providers.p.class", class),
            ("num.partitions", value),
        ]);
        let faults = resolve(&mut all).expect_err(value);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((faults[0].fault, faults[0].key.as_str()), (Fault::Unreadable, key));
    }
    let mut all = settings(&[
        ("config.providers", "p"),
        ("config.providers.p.class", &env),
        ("config.providers.p.param.allowlist.pattern", "("),
    ]);
    assert!(resolve(&mut all).is_err());
}
