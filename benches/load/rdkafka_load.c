/* A load on librdkafka: produces or consumes a number of messages as fast as the broker takes them.
 *
 *   rdkafka_load produce BOOTSTRAP TOPIC COUNT BYTES ACKS   linger 5 ms, batch.size 1,000,000
 *   rdkafka_load consume BOOTSTRAP TOPIC COUNT PARTITIONS   from the beginning
 *   rdkafka_load gap BOOTSTRAP TOPIC SECONDS PARTITIONS     acks=all, idempotent, one a millisecond
 *   rdkafka_load transact BOOTSTRAP TOPIC COUNT BYTES PER PARTITIONS ID LINGER
 *       COUNT transactions of PER messages each, one after the other, all committed
 *
 * Prints `MESSAGES BYTES SECONDS`; transact also the average and the 99th percentile, in seconds,
 * from a transaction's beginning until its commit is answered; gap prints `steady` once every partition acknowledged something,
 * and at the end `MESSAGES PARTITIONS GAP`: the longest time, in seconds, in which one partition
 * acknowledged nothing. Any failure ends it with status 1. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long delivered, failed;

/* When each partition was last heard of, and the longest silence of any. */
#define PARTITIONS_MAX 64
static double heard[PARTITIONS_MAX], silence;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fatal(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err)
        failed++;
    else
        delivered++;
    if (message->partition < 0 || message->partition >= PARTITIONS_MAX) return;
    double *last = &heard[message->partition], at = now();
    if (*last && at - *last > silence) silence = at - *last;
    *last = at;
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK) fatal(key, why);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[512];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) fatal("rd_kafka_new", why);
    return rk;
}

static void produce(const char *bootstrap, const char *topic, long count, long bytes,
                    const char *acks) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "linger.ms", "5");
    set(conf, "batch.size", "1000000");
    set(conf, "acks", acks);
    set(conf, "queue.buffering.max.messages", "500000");
    set(conf, "queue.buffering.max.kbytes", "500000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    char *value = malloc(bytes);
    /* Random bytes: nothing on the way may profit from their being alike. */
    unsigned seed = 1;
    for (long i = 0; i < bytes; i++) value[i] = (char)(rand_r(&seed) >> 8);
    double start = now();
    for (long i = 0; i < count; i++) {
        while (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, bytes, NULL,
                                0, NULL) != 0) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fatal("produce", rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_poll(rk, 5);
        }
        if (i % 1000 == 0) rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 120000);
    if (failed || delivered != count) fatal("produce", "not everything was delivered");
    printf("%ld %ld %f\n", delivered, delivered * bytes, now() - start);
}

static void consume(const char *bootstrap, const char *topic, long count, int partitions) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "unused");
    set(conf, "enable.auto.commit", "false");
    set(conf, "queued.min.messages", "1000000");
    set(conf, "fetch.message.max.bytes", "1048576");
    set(conf, "check.crcs", "false");
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(rk, list);
    long messages = 0, bytes = 0;
    double start = now(), last = start;
    while (messages < count) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 1000);
        if (message && !message->err) {
            messages++;
            bytes += message->len;
            if (messages % 1000 == 0) last = now();
        } else if (message && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            fatal("consume", rd_kafka_message_errstr(message));
        }
        if (message) rd_kafka_message_destroy(message);
        if (!message && now() - last > 60) fatal("consume", "nothing came for a minute");
    }
    printf("%ld %ld %f\n", messages, bytes, now() - start);
}

/* What a retry waits for is set low, so that the broker's silence is seen and not the client's. */
static void gap(const char *bootstrap, const char *topic, double seconds, int partitions) {
    if (partitions > PARTITIONS_MAX) fatal("gap", "too many partitions");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "enable.idempotence", "true");
    set(conf, "linger.ms", "1");
    set(conf, "retry.backoff.ms", "10");
    set(conf, "reconnect.backoff.ms", "10");
    set(conf, "reconnect.backoff.max.ms", "50");
    set(conf, "topic.metadata.refresh.fast.interval.ms", "10");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int steady = 0;
    double start = now();
    for (long i = 0; !steady || now() - start < seconds; i++) {
        if (rd_kafka_produce(rkt, i % partitions, RD_KAFKA_MSG_F_COPY, "value", 5, NULL, 0, NULL))
            fatal("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(rk, 1);
        if (steady) continue;
        int there = 0;
        for (int p = 0; p < partitions; p++) there += heard[p] > 0;
        steady = there == partitions && now() - start > 1;
        if (!steady) continue;
        puts("steady");
        fflush(stdout);
        start = now();
        silence = 0;
    }
    rd_kafka_flush(rk, 60000);
    if (failed) fatal("gap", "not everything was delivered");
    printf("%ld %d %f\n", delivered, partitions, silence);
}

static void must(const char *what, rd_kafka_error_t *error) {
    if (error) fatal(what, rd_kafka_error_string(error));
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static void transact(char **argv) {
    long count = atol(argv[4]), bytes = atol(argv[5]), per = atol(argv[6]);
    int partitions = atoi(argv[7]);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[2]);
    set(conf, "transactional.id", argv[8]);
    set(conf, "linger.ms", argv[9]);
    set(conf, "batch.size", "1000000");
    set(conf, "queue.buffering.max.messages", "500000");
    set(conf, "queue.buffering.max.kbytes", "500000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, argv[3], NULL);
    char *value = malloc(bytes);
    double *took = malloc(count * sizeof *took), all = 0;
    unsigned seed = 1;
    for (long i = 0; i < bytes; i++) value[i] = (char)(rand_r(&seed) >> 8);
    must("init_transactions", rd_kafka_init_transactions(rk, 60000));
    double start = now();
    for (long txn = 0; txn < count; txn++) {
        double began = now();
        must("begin_transaction", rd_kafka_begin_transaction(rk));
        for (long i = 0; i < per; i++) {
            while (rd_kafka_produce(rkt, i % partitions, RD_KAFKA_MSG_F_COPY, value, bytes, NULL, 0,
                                    NULL) != 0) {
                if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                    fatal("produce", rd_kafka_err2str(rd_kafka_last_error()));
                rd_kafka_poll(rk, 5);
            }
            if (i % 1000 == 0) rd_kafka_poll(rk, 0);
        }
        must("commit_transaction", rd_kafka_commit_transaction(rk, 60000));
        took[txn] = now() - began;
        all += took[txn];
    }
    double seconds = now() - start;
    if (failed || delivered != count * per) fatal("transact", "not everything was delivered");
    qsort(took, count, sizeof *took, by_size);
    printf("%ld %ld %f %f %f\n", delivered, delivered * bytes, seconds, all / count,
           took[count * 99 / 100]);
}

int main(int argc, char **argv) {
    if (argc < 6) fatal("usage", "rdkafka_load produce|consume|gap|transact BOOTSTRAP TOPIC COUNT N [MORE]");
    long count = atol(argv[4]), n = atol(argv[5]);
    if (strcmp(argv[1], "produce") == 0)
        produce(argv[2], argv[3], count, n, argc > 6 ? argv[6] : "1");
    else if (strcmp(argv[1], "transact") == 0 && argc == 10)
        transact(argv);
    else if (strcmp(argv[1], "gap") == 0)
        gap(argv[2], argv[3], count, (int)n);
    else
        consume(argv[2], argv[3], count, (int)n);
    fflush(stdout);
    /* Closing a client takes seconds and measures nothing. */
    _Exit(0);
}
