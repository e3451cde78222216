//! Every bad configuration ends the start with exit code 2 and all the reasons, each in one line
//! that says where, which key and what was expected. Knows only the binary.

use std::io::Write;
use std::process::{Command, Output};

fn serve(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ottla"))
        .arg("serve")
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("the binary runs")
}

/// Runs with a file of this extension and text; `line` has the file's name as `FILE`.
fn refused(extension: &str, text: &str, overrides: &[&str], line: &str) {
    let mut file = tempfile::Builder::new()
        .suffix(&format!(".{extension}"))
        .tempfile()
        .expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    let name = file.path().display().to_string();
    let mut arguments = vec![name.as_str()];
    for setting in overrides {
        arguments.extend(["--override", setting]);
    }
    let output = serve(&arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&name, "FILE");
    assert_eq!(stderr, format!("{line}\n"), "for {text:?} {overrides:?}");
    assert_eq!(output.status.code(), Some(2), "for {text:?} {overrides:?}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn wrong_types_and_impossible_values() {
    let table = [
        (
            "broker.id=1\nnum.partitions=x\n",
            "FILE:2: num.partitions: expected an integer of at least 1, found \"x\"",
        ),
        (
            "num.partitions=0\n",
            "FILE:1: num.partitions: expected an integer of at least 1, found \"0\"",
        ),
        (
            "broker.id=99999999999\n",
            "FILE:1: broker.id: expected an integer from -2147483648 to 2147483647, found \
             \"99999999999\"",
        ),
        (
            "auto.create.topics.enable=yes\n",
            "FILE:1: auto.create.topics.enable: expected true or false, found \"yes\"",
        ),
        (
            "log.cleaner.min.cleanable.ratio=1.5\n",
            "FILE:1: log.cleaner.min.cleanable.ratio: expected a number from 0 to 1, found \"1.5\"",
        ),
        (
            "compression.gzip.level=10\n",
            "FILE:1: compression.gzip.level: expected an integer from 1 to 9, or -1, found \"10\"",
        ),
        (
            "compression.type=zip\n",
            "FILE:1: compression.type: expected text, one of uncompressed, zstd, lz4, snappy, \
            gzip, \
             producer, found \"zip\"",
        ),
        (
            "log.cleanup.policy=compact,remove\n",
            "FILE:1: log.cleanup.policy: expected a list of compact, delete, found \
             \"compact,remove\"",
        ),
        ("a=\\u00g0\n", "FILE:1: expected four hexadecimal digits after \\u"),
    ];
    for (text, line) in table {
        refused("properties", text, &[], line);
    }
}

#[test]
fn keys_that_contradict_each_other() {
    let table = [
        ("broker.id=1\nnode.id=2\n", "FILE:2: node.id: expected the same number as broker.id"),
        (
            "broker.id=1001\n",
            "FILE:1: broker.id: expected -1 to be given a number, or 0 up to \
             reserved.broker.max.id",
        ),
        (
            "listeners=PLAINTEXT://:9092,OUT://:9093\n",
            "FILE:1: listeners: expected every name in listener.security.protocol.map, OUT is not",
        ),
        (
            "listeners=PLAINTEXT\n",
            "FILE:1: listeners: expected NAME://host:port, found \"PLAINTEXT\"",
        ),
        (
            "listeners=PLAINTEXT://:1,SSL://:2\n",
            "FILE:1: listeners: expected PLAINTEXT for SSL: SSL is not served yet",
        ),
        (
            "listeners=PLAINTEXT://0.0.0.0:9092\n",
            "FILE:1: listeners: expected an address that others can reach, not 0.0.0.0",
        ),
        (
            "advertised.listeners=INNER://h:1\n",
            "FILE:1: advertised.listeners: expected only names that listeners has",
        ),
        (
            "inter.broker.listener.name=INNER\n",
            "FILE:1: inter.broker.listener.name: expected a name that advertised.listeners has",
        ),
        (
            "queued.max.request.bytes=1000\n",
            "FILE:1: queued.max.request.bytes: expected at least socket.request.max.bytes, or -1",
        ),
        (
            "log.retention.hours=0\n",
            "FILE:1: log.retention.hours: expected at least 1, or -1 for no limit",
        ),
        ("log.dirs=\n", "FILE:1: log.dirs: expected at least one directory"),
        ("log.dirs=a,a\n", "FILE:1: log.dirs: expected every directory once"),
        (
            "zookeeper.connect=a:b\n",
            "FILE:1: zookeeper.connect: expected host:port,…[/chroot]: \"a:b\" is not host:port",
        ),
        (
            "ottla.http.listener=nowhere\n",
            "FILE:1: ottla.http.listener: expected address:port, or \"\" for none",
        ),
    ];
    for (text, line) in table {
        refused("properties", text, &[], line);
    }
}

#[test]
fn keys_that_contradict_what_else_is_in_use() {
    let table = [
        (
            "inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT\n",
            "FILE:2: security.inter.broker.protocol: expected it to be absent, as \
             inter.broker.listener.name is set",
        ),
        (
            "control.plane.listener.name=PLAINTEXT\n",
            "FILE:1: control.plane.listener.name: expected another listener than the one that \
             brokers use among themselves",
        ),
        (
            "early.start.listeners=plaintext\n",
            "FILE:1: early.start.listeners: expected only names that listeners has, in upper case",
        ),
        (
            "log.cleaner.dedupe.buffer.size=1000\n",
            "FILE:1: log.cleaner.dedupe.buffer.size: expected more than 1 MiB for each of \
             log.cleaner.threads, of which one at least",
        ),
        (
            "connections.max.idle.ms=50\n",
            "FILE: connection.failed.authentication.delay.ms: expected less than \
             connections.max.idle.ms",
        ),
        (
            "listener.name.plaintext.ssl.client.auth=bad\n",
            "FILE:1: listener.name.plaintext.ssl.client.auth: expected text, one of required, \
             requested, none",
        ),
    ];
    for (text, line) in table {
        refused("properties", text, &[], line);
    }
}

#[test]
fn what_decides_safety_is_never_only_warned_about() {
    let security = "TLS, SASL and authorization are not served yet";
    let quota = "quotas are not enforced yet";
    let ours = "this broker keeps its metadata in ZooKeeper or in itself";
    const BUILDER: &str =
        "\"org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder\"";
    let table = [
        ("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer", "none", security),
        ("principal.builder.class", "a.B", BUILDER, security),
        ("zookeeper.set.acl", "true", "\"false\"", security),
        ("zookeeper.ssl.client.enable", "true", "\"false\"", security),
        ("delegation.token.master.key", "secret", "none", security),
        ("client.quota.callback.class", "a.B", "none", quota),
        ("quota.window.num", "12", "\"11\"", quota),
        ("process.roles", "broker", "none", ours),
        ("create.topic.policy.class.name", "a.B", "none", "policy classes cannot be loaded"),
        (
            "ssl.engine.factory.class",
            "a.B",
            "none",
            "other classes than Kafka's own cannot be loaded",
        ),
    ];
    for (key, value, default, why) in table {
        let line = format!("FILE:1: {key}: expected the default ({default}): {why}");
        refused("properties", &format!("{key}={value}\n"), &[], &line);
    }
    refused(
        "properties",
        "inter.broker.protocol.version=3.8\n",
        &[],
        "FILE:1: inter.broker.protocol.version: expected text, one of 3.9, 3.9-IV0, found \"3.8\"",
    );
    refused(
        "properties",
        "listener.name.plaintext.principal.builder.class=a.B\n",
        &[],
        "FILE:1: listener.name.plaintext.principal.builder.class: expected it to be absent: TLS, \
         SASL and authorization are not served yet",
    );
    // Kafka too loads these at the start and ends it where a class is not there.
    for (key, class) in [
        ("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter"),
        ("kafka.metrics.reporters", "kafka.metrics.KafkaCSVMetricsReporter"),
    ] {
        refused(
            "properties",
            &format!("{key}=a.B\n"),
            &[],
            &format!("FILE:1: {key}: expected only {class}: other classes cannot be loaded"),
        );
    }
    refused(
        "properties",
        "create.topic.policy.class.name=\n",
        &[],
        "FILE:1: create.topic.policy.class.name: expected a class, found \"\"",
    );
}

#[test]
fn a_refused_start_gives_all_reasons_in_groups() {
    refused(
        "properties",
        "listeners=PLAINTEXT://:9092,SASL_SSL://:9093\nssl.keystore.location=/k.jks\n\
         ssl.keystore.password=hunter2\nsasl.enabled.mechanisms=PLAIN\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=hunter2\n\
         listener.name.other.ssl.keystore.password=hunter2\nsuper.users=User:admin\n\
         authorizer.class.name=a.B\nnum.partitions=x\nlog.retention.hours=0\nlog.dirz=/x\n\
         ottla.nope=1\nzookeeper.set.acl=true\nnum.io.threads=0\n",
        &["queued.max.request.bytes=1", "broker.id"],
        "the configuration is refused for 13 reasons\n\
         what cannot be read:\n\
         \x20 --override: expected key=value, found \"broker.id\"\n\
         unknown keys:\n\
         \x20 FILE:12: ottla.nope: expected a known key\n\
         values that are not legal:\n\
         \x20 FILE:9: num.partitions: expected an integer of at least 1, found \"x\"\n\
         \x20 FILE:14: num.io.threads: expected an integer of at least 1, found \"0\"\n\
         values that do not go together:\n\
         \x20 FILE:10: log.retention.hours: expected at least 1, or -1 for no limit\n\
         \x20 --override: queued.max.request.bytes: expected at least socket.request.max.bytes, or \
         -1\n\
         what this broker does not serve:\n\
         \x20 FILE:5: listener.name.sasl_ssl.plain.sasl.jaas.config: expected it to be absent: \
         TLS, SASL and authorization are not served yet\n\
         \x20 FILE:8: authorizer.class.name: expected the default (none): TLS, SASL and \
         authorization are not served yet\n\
         \x20 FILE:4: sasl.enabled.mechanisms: expected the default (\"GSSAPI\"): TLS, SASL and \
         authorization are not served yet\n\
         \x20 FILE:2: ssl.keystore.location: expected the default (none): TLS, SASL and \
         authorization are not served yet\n\
         \x20 FILE:3: ssl.keystore.password: expected the default (none): TLS, SASL and \
         authorization are not served yet\n\
         \x20 FILE:13: zookeeper.set.acl: expected the default (\"false\"): TLS, SASL and \
         authorization are not served yet\n\
         \x20 FILE:1: listeners: expected PLAINTEXT for SASL_SSL: SASL_SSL is not served yet",
    );
}

#[test]
fn the_last_value_of_a_key_counts() {
    // Of the two only the second is looked at, as with Kafka.
    refused(
        "properties",
        "num.partitions=x\nnum.partitions=-1\nlog.dirs=\n",
        &["num.partitions=2"],
        "FILE:3: log.dirs: expected at least one directory",
    );
}

#[test]
fn unknown_keys_stop_a_yaml_file_and_whatever_is_ours() {
    refused(
        "yaml",
        "broker.id: 1\nlog:\n  segmnt.bytes: 5\n",
        &[],
        "FILE:3: log.segmnt.bytes: expected a known key; the nearest known is log.segment.bytes",
    );
    refused("yaml", "qqqqqqqqqq: 5\n", &[], "FILE:1: qqqqqqqqqq: expected a known key");
    refused(
        "properties",
        "ottla.http.listner=x\n",
        &[],
        "FILE:1: ottla.http.listner: expected a known key; the nearest known is \
         ottla.http.listener",
    );
    refused("properties", "", &["nope=1"], "--override: nope: expected a known key");
    refused("properties", "", &["nope"], "--override: expected key=value, found \"nope\"");
    let mistyped = "ssl.keystore.password:hunter2";
    let told = "--override: expected key=value, found \"ssl.keystore.password\"";
    refused("properties", "", &[mistyped], told);
    refused(
        "properties",
        "",
        &["num.partitions=-3"],
        "--override: num.partitions: expected an integer of at least 1, found \"-3\"",
    );
}

#[test]
fn secrets_are_not_repeated() {
    let output = serve(&["--override", "delegation.token.secret.key=hunter2"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("delegation.token.secret.key") && !stderr.contains("hunter2"),
        "{stderr}"
    );
}

#[test]
fn what_was_looked_up_is_not_shown() {
    let mut secrets = tempfile::NamedTempFile::new().expect("a temporary file");
    secrets.write_all(b"v=hunter2\n").expect("written");
    let provider = "org.apache.kafka.common.config.provider.FileConfigProvider";
    let looked_up = format!("${{file:{}:v}}", secrets.path().display());
    for key in ["listeners", "listener.security.protocol.map", "zookeeper.connect", "broker.id"] {
        let value = match key {
            "zookeeper.connect" => format!("//127.0.0.1:{looked_up}"),
            _ => looked_up.clone(),
        };
        let given = [
            "config.providers=file".to_owned(),
            format!("config.providers.file.class={provider}"),
            format!("{key}={value}"),
        ];
        let arguments: Vec<&str> =
            given.iter().flat_map(|setting| ["--override", setting.as_str()]).collect();
        let output = serve(&arguments);
        assert_eq!(output.status.code(), Some(2), "{key}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(key) && !stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let output = serve(&["/nonexistent/server.properties"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("/nonexistent/server.properties: expected a readable file: "),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
    refused(
        "yaml",
        "a: [1\n",
        &[],
        "FILE:2: expected YAML: did not find expected ',' or ']' at line 2 column 1, while parsing \
         a flow sequence at line 1 column 4",
    );
}

#[test]
fn wrong_flags_give_the_reason_and_then_the_usage() {
    let output = serve(&["--port", "9092"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("ottla: no flag \"--port\"\nusage: ottla serve"), "{stderr}");
}
