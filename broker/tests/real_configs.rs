//! Configurations in the shapes that container images, playbooks, operators and packages write, all
//! without any use of security: every one must be taken, and one warning must name the keys that
//! nothing reads. Knows only the loader.

use std::path::PathBuf;

use broker::config::load::{Loaded, load, load_as_kafka};

struct Real {
    /// Where such files come from.
    name: &'static str,
    text: &'static str,
    /// Keys that the warning about keys without effect names.
    idle: &'static [&'static str],
    /// Unknown keys, one warning each.
    unknown: &'static [&'static str],
}

const REAL: &[Real] = &[
    Real {
        name: "an image that turns its environment into keys",
        text: "# made by the entry point\nbroker.id=1001\nreserved.broker.max.id=100000\n\
               zookeeper.connect=zookeeper:2181\n\
               listeners=PLAINTEXT://0.0.0.0:29092,PLAINTEXT_HOST://0.0.0.0:9092\n\
               advertised.listeners=PLAINTEXT://broker:29092,PLAINTEXT_HOST://localhost:9092\n\
               listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT\n\
               inter.broker.listener.name=PLAINTEXT\noffsets.topic.replication.factor=1\n\
               transaction.state.log.min.isr=1\ntransaction.state.log.replication.factor=1\n\
               group.initial.rebalance.delay.ms=0\nlog.dirs=/var/lib/kafka/data\n\
               confluent.support.metrics.enable=false\njmx.port=9101\n",
        idle: &[],
        unknown: &["confluent.support.metrics.enable", "jmx.port"],
    },
    Real {
        name: "an image with every key written out, most of them empty",
        text: "broker.id=-1\nzookeeper.connect=zk-0.zk:2181,zk-1.zk:2181/kafka\n\
               listeners=CLIENT://:9092,INTERNAL://:9093\n\
               advertised.listeners=CLIENT://kafka-0.kafka:9092,INTERNAL://kafka-0.kafka:9093\n\
               listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT\n\
               inter.broker.listener.name=INTERNAL\nlog.dirs=/bitnami/kafka/data\ntls.type=jks\n\
               ssl.keystore.location=\nssl.keystore.password=\nssl.truststore.location=\n\
               ssl.truststore.password=\nssl.key.password=\n\
               ssl.endpoint.identification.algorithm=HTTPS\nssl.client.auth=none\n\
               sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
               sasl.mechanism.inter.broker.protocol=\nsecurity.providers=\n\
               zookeeper.set.acl=false\nauthorizer.class.name=\nsuper.users=User:admin\n\
               allow.everyone.if.no.acl.found=true\ncontroller.listener.names=\n",
        idle: &[
            "allow.everyone.if.no.acl.found",
            "controller.listener.names",
            "sasl.enabled.mechanisms",
            "sasl.mechanism.inter.broker.protocol",
            "security.providers",
            "ssl.endpoint.identification.algorithm",
            "ssl.key.password",
            "ssl.keystore.location",
            "ssl.keystore.password",
            "ssl.truststore.location",
            "ssl.truststore.password",
            "super.users",
        ],
        unknown: &["tls.type"],
    },
    Real {
        name: "a playbook with stores on every host, used by clients and tools alone",
        text: "broker.id: 3\nlisteners: PLAINTEXT://kafka3.example.com:9092\n\
               log.dirs: /data/a,/data/b\nzookeeper.connect: zk1:2181,zk2:2181,zk3:2181\n\
               zookeeper.connection.timeout.ms: 6000\nnum.network.threads: 3\nnum.io.threads: 8\n\
               socket.send.buffer.bytes: 1048576\n\
               ssl.keystore.location: /etc/kafka/ssl/keystore.jks\n\
               ssl.keystore.password: changeit\nssl.keystore.type: PKCS12\n\
               ssl.key.password: changeit\n\
               ssl.truststore.location: /etc/kafka/ssl/truststore.jks\n\
               ssl.truststore.password: changeit\nssl.protocol: TLS\n\
               ssl.enabled.protocols: TLSv1.2\nssl.cipher.suites: TLS_AES_256_GCM_SHA384\n\
               security.inter.broker.protocol: PLAINTEXT\nauto.create.topics.enable: False\n\
               delete.topic.enable: True\nunclean.leader.election.enable: False\n",
        idle: &[
            "ssl.cipher.suites",
            "ssl.enabled.protocols",
            "ssl.key.password",
            "ssl.keystore.location",
            "ssl.keystore.password",
            "ssl.keystore.type",
            "ssl.protocol",
            "ssl.truststore.location",
            "ssl.truststore.password",
        ],
        unknown: &[],
    },
    Real {
        name: "an operator's file, with listeners of other pods still in it",
        text: "broker.id=0\nnode.id=0\n\
               listeners=REPLICATION-9091://0.0.0.0:9091,PLAIN-9092://0.0.0.0:9092\n\
               advertised.listeners=REPLICATION-9091://kafka-0.brokers.svc:9091,PLAIN-9092://\
               kafka-0.brokers.svc:9092\n\
               listener.security.protocol.map=REPLICATION-9091:PLAINTEXT,PLAIN-9092:PLAINTEXT\n\
               inter.broker.listener.name=REPLICATION-9091\n\
               listener.name.replication-9091.ssl.keystore.location=/tmp/kafka/cluster.\
               keystore.p12\n\
               listener.name.replication-9091.ssl.keystore.password=${CERTS_STORE_PASSWORD}\n\
               listener.name.tls-9093.ssl.keystore.location=/tmp/kafka/cluster.keystore.p12\n\
               listener.name.scram-9094.scram-sha-512.sasl.jaas.config=org.x.\
               ScramLoginModule required;\nsasl.enabled.mechanisms=\n\
               ssl.endpoint.identification.algorithm=HTTPS\nzookeeper.connect=localhost:2181\n\
               zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty\n\
               zookeeper.ssl.client.enable=false\n\
               zookeeper.ssl.keystore.location=/tmp/kafka/cluster.keystore.p12\n\
               zookeeper.ssl.keystore.password=changeit\nzookeeper.ssl.keystore.type=PKCS12\n\
               zookeeper.ssl.truststore.location=/tmp/kafka/cluster.truststore.p12\n\
               log.dirs=/var/lib/kafka/data-0/kafka-log0\ninter.broker.protocol.version=3.9\n\
               log.message.format.version=3.9\ndefault.replication.factor=3\n\
               min.insync.replicas=2\n",
        idle: &[
            "listener.name.replication-9091.ssl.keystore.location",
            "listener.name.replication-9091.ssl.keystore.password",
            "listener.name.scram-9094.scram-sha-512.sasl.jaas.config",
            "listener.name.tls-9093.ssl.keystore.location",
            "sasl.enabled.mechanisms",
            "ssl.endpoint.identification.algorithm",
            "zookeeper.ssl.keystore.location",
            "zookeeper.ssl.keystore.password",
            "zookeeper.ssl.keystore.type",
            "zookeeper.ssl.truststore.location",
        ],
        unknown: &[],
    },
    Real {
        name: "a distribution's package",
        text: "broker.id.generation.enable=true\nbroker.id=-1\n\
               listeners=PLAINTEXT://localhost:6667\nlog.dirs=/kafka-logs\n\
               zookeeper.connect=node1:2181\nzookeeper.session.timeout.ms=30000\nport=6667\n\
               host.name=node1\nadvertised.host.name=node1\nkafka.metrics.reporters=\n\
               kafka.timeline.metrics.reporter.enabled=true\nlog.cleanup.interval.mins=10\n\
               num.replica.fetchers=1\noffset.metadata.max.bytes=4096\n\
               producer.purgatory.purge.interval.requests=10000\nreplica.lag.max.messages=4000\n\
               controlled.shutdown.enable=true\nauto.leader.rebalance.enable=true\n",
        idle: &[],
        unknown: &[
            "advertised.host.name",
            "host.name",
            "kafka.timeline.metrics.reporter.enabled",
            "log.cleanup.interval.mins",
            "port",
            "replica.lag.max.messages",
        ],
    },
    Real {
        name: "a broker tuned by hand over the years",
        text: "broker.id=7\nbroker.rack=eu-1a\n\
               replica.selector.class=org.apache.kafka.common.replica.\
               RackAwareReplicaSelector\nlisteners=PLAINTEXT://10.0.0.7:9092\n\
               zookeeper.connect=10.0.0.1:2181/kafka\nlog.dirs=/d1/kafka, /d2/kafka\n\
               num.recovery.threads.per.data.dir=4\nlog.retention.hours=72\n\
               log.retention.bytes=-1\nlog.segment.bytes=536870912\nlog.cleaner.threads=2\n\
               log.cleaner.dedupe.buffer.size=268435456\nmessage.max.bytes=10485760\n\
               replica.fetch.max.bytes=10485760\nqueued.max.requests=1000\n\
               max.connections.per.ip=500\n\
               max.connections.per.ip.overrides=10.0.0.9:2000,tools.example.com:50\n\
               socket.request.max.bytes=209715200\nsocket.listen.backlog.size=512\n\
               compression.type=producer\nbackground.threads=20\n\
               inter.broker.protocol.version=3.9.2\nlog.message.timestamp.type=LogAppendTime\n",
        idle: &[],
        unknown: &[],
    },
    Real {
        name: "a test container's file",
        text: "broker.id=1\nlisteners=BROKER://0.0.0.0:9093,PLAINTEXT://0.0.0.0:9092\n\
               advertised.listeners=PLAINTEXT://localhost:32768,BROKER://172.17.0.2:9093\n\
               listener.security.protocol.map=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
               inter.broker.listener.name=BROKER\nzookeeper.connect=localhost:2181\n\
               offsets.topic.num.partitions=1\noffsets.topic.replication.factor=1\n\
               log.flush.interval.messages=9223372036854775807\n\
               group.initial.rebalance.delay.ms=0\n",
        idle: &[],
        unknown: &[],
    },
    Real {
        name: "an ansible role with an encoder secret and token times",
        text: "broker.id=11\nlisteners=PLAINTEXT://:9092\nzookeeper.connect=zk:2181\n\
               password.encoder.secret=not-to-be-shown\npassword.encoder.key.length=256\n\
               delegation.token.max.lifetime.ms=86400000\ndelegation.token.secret.key=\n\
               connection.failed.authentication.delay.ms=200\nconnections.max.reauth.ms=3600000\n\
               sasl.kerberos.service.name=kafka\nsasl.kerberos.principal.to.local.rules=DEFAULT\n\
               sasl.mechanism.inter.broker.protocol=PLAIN\n\
               sasl.jaas.config=org.x.PlainLoginModule required password=\"not-to-be-shown\";\n\
               sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.\
               secured.OAuthBearerValidatorCallbackHandler\n",
        idle: &[
            "connection.failed.authentication.delay.ms",
            "connections.max.reauth.ms",
            "delegation.token.max.lifetime.ms",
            "delegation.token.secret.key",
            "password.encoder.key.length",
            "password.encoder.secret",
            "sasl.jaas.config",
            "sasl.kerberos.service.name",
            "sasl.mechanism.inter.broker.protocol",
            "sasl.server.callback.handler.class",
        ],
        unknown: &[],
    },
    Real {
        name: "a broker with a reporter of Kafka's own and tiered storage off",
        text: "broker.id=2\nzookeeper.connect=zk:2181\nlisteners=PLAINTEXT://:9092\n\
               metric.reporters=org.apache.kafka.common.metrics.JmxReporter\n\
               auto.include.jmx.reporter=true\nmetrics.num.samples=5\n\
               remote.log.storage.system.enable=false\n\
               remote.log.manager.task.interval.ms=60000\n\
               remote.log.manager.copy.quota.window.num=61\ncruise.control.metrics.topic=__m\n",
        idle: &[],
        unknown: &["cruise.control.metrics.topic"],
    },
    Real {
        name: "values from the environment and from mounted files",
        text: "config.providers=env,file\n\
               config.providers.env.class=org.apache.kafka.common.config.provider.\
               EnvVarConfigProvider\nconfig.providers.env.param.allowlist.pattern=CARGO_PKG_.*\n\
               config.providers.file.class=org.apache.kafka.common.config.provider.\
               FileConfigProvider\nconfig.providers.file.param.allowed.paths=DIR\n\
               broker.id=${file:DIR/id.properties:id}\nbroker.rack=rack-${env:CARGO_PKG_NAME}\n\
               zookeeper.connect=zk:2181\nssl.key.password=${file:DIR/id.properties:secret}\n",
        idle: &["ssl.key.password"],
        unknown: &[],
    },
    Real {
        name: "a file saved on another system",
        text: "\u{20}\u{20}broker.id = 5\r\nlisteners = PLAINTEXT://\\\r\n    :9092\r\n\
               zookeeper.connect : zk1:2181,zk2:2181\r\n! a comment\r\nlog.dirs=C\\:\\\\kafka\r\n\
               num.partitions=6\r\n\r\n",
        idle: &[],
        unknown: &[],
    },
    Real {
        name: "a control plane listener, and one that clients use early",
        text: "broker.id=4\nlisteners=CONTROLLER://:9090,INTERNAL://:9091,EXTERNAL://:9092\n\
               advertised.listeners=CONTROLLER://h:9090,INTERNAL://h:9091,EXTERNAL://h:9092\n\
               listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,EXTERNAL:\
               PLAINTEXT\ninter.broker.listener.name=INTERNAL\n\
               control.plane.listener.name=CONTROLLER\nearly.start.listeners=EXTERNAL\n\
               zookeeper.connect=zk:2181\nlistener.name.external.num.network.threads=6\n",
        idle: &["listener.name.external.num.network.threads"],
        unknown: &[],
    },
];

fn written(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let root = directory.path().display().to_string();
    let secrets = "id=9\nsecret=not-to-be-shown\n";
    std::fs::write(directory.path().join("id.properties"), secrets).expect("written");
    let path = directory.path().join("server.properties");
    std::fs::write(&path, text.replace("DIR", &root)).expect("written");
    path
}

#[test]
fn configurations_without_security_are_taken_as_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    for Real { name, text, idle, unknown } in REAL {
        let path = written(&directory, text);
        let Loaded { warnings, .. } =
            load(Some(&path), &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!warnings.concat().contains("not-to-be-shown"), "{name}: {warnings:?}");
        let without: Vec<&String> =
            warnings.iter().filter(|line| line.contains(": without effect: ")).collect();
        assert_eq!(without.len(), usize::from(!idle.is_empty()), "{name}: {warnings:?}");
        let list =
            without.first().map_or("", |line| line.split(": without effect: ").nth(1).unwrap());
        let mut named: Vec<&str> = list
            .split("; ")
            .filter(|group| !group.is_empty())
            .flat_map(|group| group.split(" (").next().unwrap().split(", "))
            .collect();
        named.sort_unstable();
        assert_eq!(named, *idle, "{name}");
        let mut strangers: Vec<&str> = warnings
            .iter()
            .filter(|line| line.contains("unknown key"))
            .filter_map(|line| line.split(": ").nth(1))
            .collect();
        strangers.sort_unstable();
        assert_eq!(strangers, *unknown, "{name}");
    }
}

#[test]
fn values_from_elsewhere_are_in_force() {
    let directory = tempfile::tempdir().expect("a directory");
    let real = REAL.iter().find(|real| real.text.starts_with("config.providers")).expect("there");
    let Loaded { config, .. } = load(Some(&written(&directory, real.text)), &[]).expect("legal");
    assert_eq!(config.int("broker.id"), 9);
    assert_eq!(config.text("broker.rack"), Some("rack-ottla"));
    assert_eq!(config.text("ssl.key.password"), Some("not-to-be-shown"));
    // Where the value does not fit, it is not shown.
    let wrong = format!("{}num.partitions=${{file:DIR/id.properties:secret}}\n", real.text);
    let refusal = load(Some(&written(&directory, &wrong)), &[]).expect_err("no number");
    let refusal = refusal.to_string();
    assert!(refusal.contains("num.partitions: expected an integer"), "{refusal}");
    assert!(!refusal.contains("not-to-be-shown"), "{refusal}");
}

#[test]
fn overrides_of_a_start_script_are_read_as_kafka_reads_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = written(&directory, "zookeeper.connect=zk:2181\nnum.partitions=x\n");
    let overrides = ["num.partitions=2", "my.own=1", "ssl.keystore.location"].map(str::to_owned);
    let Loaded { config, warnings } = load_as_kafka(&path, &overrides).expect("legal");
    assert_eq!(config.int("num.partitions"), 2);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(load(Some(&path), &overrides).is_err());
}
