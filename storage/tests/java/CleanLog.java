package kafka.log;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Proxy;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;

import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogOffsetsListener;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.utils.Throttler;

import kafka.server.BrokerTopicStats;
import scala.Option;
import scala.runtime.BoxedUnit;

/**
 * Compacts partition directories as an Apache broker's cleaner does.
 *
 * Input, a line each: path, first dirty offset, time of the compaction, bytes of the key buffer,
 * then settings as key=value. Output, a line each: path, the first offset not compacted, and where
 * the log begins once it deleted what the settings say.
 */
public class CleanLog {
    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            System.out.println(words[0] + " " + clean(words, scheduler));
        }
        System.exit(0);
    }

    private static Time stoppedAt(long ms) {
        return (Time) Proxy.newProxyInstance(
            Time.class.getClassLoader(), new Class<?>[] {Time.class},
            (proxy, method, arguments) -> method.getName().equals("milliseconds")
                ? (Object) ms
                : method.invoke(Time.SYSTEM, arguments));
    }

    private static String clean(String[] words, KafkaScheduler scheduler) throws Exception {
        long now = Long.parseLong(words[2]);
        Properties settings = new Properties();
        for (int i = 4; i < words.length; i++) {
            String[] pair = words[i].split("=", 2);
            settings.setProperty(pair[0], pair[1]);
        }
        UnifiedLog log = UnifiedLog.apply(new File(words[0]), new LogConfig(settings),
            0, 0, scheduler, new BrokerTopicStats(false), stoppedAt(now), 900000,
            new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600000,
            new LogDirFailureChannel(1), true, Option.empty(), true,
            new ConcurrentHashMap<>(), false, LogOffsetsListener.NO_OP_OFFSETS_LISTENER);
        log.updateHighWatermark(log.logEndOffset());
        OffsetsToClean range = LogCleanerManager.cleanableOffsets(
            log, Option.apply(Long.parseLong(words[1])), now);
        LogToClean target = new LogToClean(log.topicPartition(), log,
            range.firstDirtyOffset(), range.firstUncleanableDirtyOffset(), false);
        Throttler throttler = new Throttler(Double.MAX_VALUE, 300, "cleaner", "bytes", Time.SYSTEM);
        Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(Integer.parseInt(words[3])),
            512 * 1024, 4 << 20, 0.9, throttler, Time.SYSTEM, partition -> BoxedUnit.UNIT);
        long end = (long) (Object) cleaner.doClean(target, now)._1();
        log.deleteOldSegments();
        String left = "end=" + end + " start=" + log.logStartOffset();
        log.close();
        return left;
    }
}
