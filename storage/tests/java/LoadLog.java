import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Proxy;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogOffsetsListener;
import org.apache.kafka.storage.internals.log.LogSegment;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;

import kafka.log.UnifiedLog;
import kafka.server.BrokerTopicStats;
import scala.Option;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Loads partition directories as an Apache broker does at its start and says what it found.
 *
 * Input, a line each: path, clean (true or false), recovery point, log start. Output, a line each:
 * path, then start, end, producers as id:last sequence, batches as first-last.
 */
public class LoadLog {
    /** The tests' own time, so that no producer expires. */
    private static final Time STOPPED = (Time) Proxy.newProxyInstance(
        Time.class.getClassLoader(), new Class<?>[] {Time.class},
        (proxy, method, arguments) -> method.getName().equals("milliseconds")
            ? (Object) 1_700_000_000_000L
            : method.invoke(Time.SYSTEM, arguments));

    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            System.out.println(words[0] + " " + load(words, scheduler));
        }
        scheduler.shutdown();
        System.exit(0);
    }

    private static String load(String[] words, KafkaScheduler scheduler) {
        StringBuilder found = new StringBuilder();
        try {
            UnifiedLog log = UnifiedLog.apply(new File(words[0]), new LogConfig(new Properties()),
                Long.parseLong(words[3]), Long.parseLong(words[2]), scheduler,
                new BrokerTopicStats(false), STOPPED, 900000,
                new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600000,
                new LogDirFailureChannel(1), Boolean.parseBoolean(words[1]), Option.empty(), true,
                new ConcurrentHashMap<>(), false, LogOffsetsListener.NO_OP_OFFSETS_LISTENER);
            found.append("start=").append(log.logStartOffset());
            found.append(" end=").append(log.logEndOffset());
            Map<Object, Object> producers = new TreeMap<>();
            CollectionConverters.asJava(log.activeProducersWithLastSequence())
                .forEach(producers::put);
            found.append(" producers=");
            producers.forEach((id, sequence) -> found.append(id).append(':').append(sequence).append(','));
            found.append(" batches=");
            for (LogSegment segment : log.logSegments()) {
                for (RecordBatch batch : segment.log().batches()) {
                    batch.ensureValid();
                    found.append(batch.baseOffset()).append('-').append(batch.lastOffset()).append(',');
                }
            }
            log.close();
        } catch (Throwable e) {
            found.append("error=").append(e);
        }
        return found.toString();
    }
}
