// Apache's own record classes as judge of ours: writes batches, prints batches, converts and
// validates them. Built and run by tests/records_java.rs; the text it prints is that of tests/dump.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.PrimitiveRef;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.Timer;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;

public class RecordsOracle {
    static final long NOW = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        Path dir = Paths.get(args[1]);
        switch (args[0]) {
            case "write": write(dir); break;
            case "dump": each(dir, RecordsOracle::dump); break;
            case "down0": each(dir, b -> down(b, (byte) 0)); break;
            case "down1": each(dir, b -> down(b, (byte) 1)); break;
            case "validate": each(dir, RecordsOracle::validateAll); break;
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    interface Job { String run(ByteBuffer set) throws Exception; }

    static void each(Path dir, Job job) throws Exception {
        List<Path> files;
        try (Stream<Path> all = Files.list(dir)) {
            files = all.filter(p -> p.toString().endsWith(".bin")).sorted().collect(Collectors.toList());
        }
        for (Path file : files) {
            String text;
            try {
                text = job.run(ByteBuffer.wrap(Files.readAllBytes(file)));
            } catch (Exception e) {
                text = "error " + e.getClass().getSimpleName() + "\n";
            }
            String name = file.getFileName().toString().replace(".bin", ".txt");
            Files.write(dir.resolve(name), text.getBytes(StandardCharsets.UTF_8));
        }
    }

    // --- writing ---------------------------------------------------------------------------

    static void write(Path dir) throws Exception {
        for (byte magic = 0; magic <= 2; magic++) {
            for (CompressionType type : CompressionType.values()) {
                if (magic < 2 && type == CompressionType.ZSTD) continue;
                for (TimestampType time : new TimestampType[] {TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME}) {
                    for (int shape = 0; shape < 4; shape++) {
                        String name = "m" + magic + "-" + type.name + "-" + (time == TimestampType.CREATE_TIME ? "create" : "append") + "-" + shape;
                        Files.write(dir.resolve(name + ".bin"), set(magic, type, time, shape));
                    }
                }
            }
        }
        for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.ABORT, ControlRecordType.COMMIT}) {
            MemoryRecords marker = MemoryRecords.withEndTransactionMarker(0, NOW, 5, 4242L, (short) 3, new EndTransactionMarker(type, 9));
            Files.write(dir.resolve("m2-control-" + type.name().toLowerCase() + ".bin"), bytes(marker.buffer()));
        }
    }

    static byte[] set(byte magic, CompressionType type, TimestampType time, int shape) {
        long base = shape == 0 ? 0 : 1000;
        long pid = magic == 2 && shape == 1 ? 8 : -1;
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), magic, Compression.of(type).build(),
            time, base, NOW + 5, pid, (short) (pid < 0 ? -1 : 2), pid < 0 ? -1 : Integer.MAX_VALUE - 1, pid >= 0, 7);
        Random random = new Random(shape);
        switch (shape) {
            case 0:
                builder.append(NOW, "only".getBytes(), "one".getBytes());
                break;
            case 1:
                add(builder, magic, NOW - 5, null, "v0".getBytes(), new Header[0]);
                add(builder, magic, NOW - 9, new byte[0], null, new Header[] {new RecordHeader("a", null), new RecordHeader("", new byte[0])});
                add(builder, magic, NOW + 4, "k".getBytes(), new byte[0], new Header[] {new RecordHeader("clé", "wért".getBytes(StandardCharsets.UTF_8))});
                add(builder, magic, -1, "k".getBytes(), "no time".getBytes(), new Header[0]);
                break;
            case 2:
                for (int i = 0; i < 200; i++)
                    add(builder, magic, NOW + i % 17, ("key-" + i % 50).getBytes(), ("some value " + i).getBytes(), new Header[0]);
                break;
            default:
                byte[] noise = new byte[70_000];
                random.nextBytes(noise);
                byte[] zeros = new byte[140_000];
                add(builder, magic, NOW, "noise".getBytes(), noise, new Header[0]);
                add(builder, magic, NOW, "zeros".getBytes(), zeros, new Header[] {new RecordHeader("noise", Arrays.copyOf(noise, 100))});
        }
        return bytes(builder.build().buffer());
    }

    static void add(MemoryRecordsBuilder builder, byte magic, long ts, byte[] key, byte[] value, Header[] headers) {
        builder.append(ts, key, value, magic == 2 ? headers : new Header[0]);
    }

    static byte[] bytes(ByteBuffer buffer) {
        ByteBuffer b = buffer.duplicate();
        byte[] all = new byte[b.remaining()];
        b.get(all);
        return all;
    }

    // --- printing --------------------------------------------------------------------------

    static String dump(ByteBuffer set) {
        StringBuilder out = new StringBuilder();
        for (RecordBatch batch : MemoryRecords.readableRecords(set).batches()) {
            batch.ensureValid();
            boolean v2 = batch.magic() == 2;
            out.append("batch magic=").append(batch.magic());
            if (v2) out.append(" base=").append(batch.baseOffset());
            out.append(" last=").append(batch.lastOffset());
            if (v2) out.append(" epoch=").append(batch.partitionLeaderEpoch());
            out.append(" codec=").append(batch.compressionType().name);
            out.append(" append_time=").append(batch.timestampType() == TimestampType.LOG_APPEND_TIME);
            out.append(" max=").append(batch.maxTimestamp());
            if (v2) {
                out.append(" pid=").append(batch.producerId()).append(" pepoch=").append(batch.producerEpoch());
                out.append(" seq=").append(batch.baseSequence()).append("..").append(batch.lastSequence());
                out.append(" txn=").append(batch.isTransactional()).append(" control=").append(batch.isControlBatch());
                out.append(" count=").append(batch.countOrNull());
            }
            out.append('\n');
            for (Record record : batch) {
                out.append("  ").append(record.offset()).append(" ts=").append(record.timestamp());
                out.append(" seq=").append(record.sequence());
                out.append(" key=").append(show(record.key())).append(" value=").append(show(record.value()));
                for (Header header : record.headers())
                    out.append(" ").append(show(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8)))).append(":")
                        .append(show(header.value() == null ? null : ByteBuffer.wrap(header.value())));
                out.append('\n');
            }
        }
        return out.toString();
    }

    static String show(ByteBuffer b) {
        if (b == null) return "null";
        byte[] all = bytes(b);
        if (all.length > 40) {
            CRC32 crc = new CRC32();
            crc.update(all);
            return all.length + "#" + Long.toHexString(crc.getValue());
        }
        StringBuilder out = new StringBuilder("x");
        for (byte x : all) out.append(String.format("%02x", x));
        return out.toString();
    }

    // --- conversion and validation ---------------------------------------------------------

    static String down(ByteBuffer set, byte magic) {
        MemoryRecords records = MemoryRecords.readableRecords(set);
        MemoryRecords done = records.downConvert(magic, 1001, Time.SYSTEM).records();
        return dump(done.buffer().duplicate());
    }

    static final Time STOPPED = new Time() {
        public long milliseconds() { return NOW; }
        public long nanoseconds() { return 0; }
        public long hiResClockMs() { return NOW; }
        public void sleep(long ms) { }
        public void waitObject(Object o, java.util.function.Supplier<Boolean> condition, long deadline) { }
        public Timer timer(long ms) { return Time.SYSTEM.timer(ms); }
        public Timer timer(java.time.Duration d) { return Time.SYSTEM.timer(d); }
        public <T> T waitForFuture(java.util.concurrent.CompletableFuture<T> f, long deadline) { throw new IllegalStateException(); }
    };

    static final LogValidator.MetricsRecorder NO_METRICS = new LogValidator.MetricsRecorder() {
        public void recordInvalidMagic() { }
        public void recordInvalidOffset() { }
        public void recordInvalidSequence() { }
        public void recordInvalidChecksums() { }
        public void recordNoKeyCompactedTopic() { }
    };

    static String validateAll(ByteBuffer set) throws Exception {
        StringBuilder out = new StringBuilder();
        // As a producer sends it: the log refuses any other base offset before the validator.
        if (set.get(16) == 2) set.putLong(0, 0);
        for (CompressionType target : new CompressionType[] {null, CompressionType.NONE, CompressionType.GZIP, CompressionType.ZSTD})
            for (boolean appendTime : new boolean[] {false, true})
                for (boolean compacted : new boolean[] {false, true})
                    for (long after : new long[] {3, 3_600_000})
                        for (AppendOrigin origin : new AppendOrigin[] {AppendOrigin.CLIENT, AppendOrigin.COORDINATOR}) {
                            out.append("rules ").append(target == null ? "producer" : target.name).append(' ').append(appendTime)
                                .append(' ').append(compacted).append(' ').append(after).append(' ')
                                .append(origin == AppendOrigin.CLIENT).append('\n');
                            out.append(validate(ByteBuffer.wrap(bytes(set)), target, appendTime, compacted, after, origin));
                        }
        return out.toString();
    }

    static String validate(ByteBuffer set, CompressionType target, boolean appendTime, boolean compacted, long after, AppendOrigin origin) {
        MemoryRecords records = MemoryRecords.readableRecords(set);
        CompressionType source = CompressionType.NONE;
        for (RecordBatch batch : records.batches())
            if (batch.compressionType() != CompressionType.NONE) source = batch.compressionType();
        LogValidator validator = new LogValidator(records, new TopicPartition("t", 0), STOPPED, source,
            Compression.of(target == null ? source : target).build(), compacted, (byte) 2,
            appendTime ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME, 3_600_000, after, 6, origin,
            MetadataVersion.latestProduction());
        try {
            LogValidator.ValidationResult result =
                validator.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(500), NO_METRICS, BufferSupplier.NO_CACHING);
            return "max=" + result.maxTimestampMs + "\n" + dump(result.validatedRecords.buffer().duplicate());
        } catch (org.apache.kafka.storage.internals.log.RecordValidationException e) {
            return "refused " + e.invalidException().getClass().getSimpleName() + " "
                + e.recordErrors().stream().map(r -> String.valueOf(r.batchIndex)).collect(Collectors.joining(",")) + "\n";
        } catch (Exception e) {
            return "refused " + e.getClass().getSimpleName() + "\n";
        }
    }
}
