import java.io.*;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/**
 * Kafka's own kafka-consumer-groups several times in one process. Each line of the standard input is
 * one command, its arguments separated by tabs. Prints "#### N" before the output of command N, from
 * 0 on.
 */
public class GroupCommands {
    static class Ended extends RuntimeException {}

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((code, message) -> {
            throw new Ended();
        });
        PrintStream out = System.out;
        BufferedReader lines =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int number = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            System.setOut(new PrintStream(printed, true, "UTF-8"));
            try {
                ConsumerGroupCommand.main(line.split("\t"));
            } catch (Ended e) {
                // What it said before is on the standard error.
            }
            out.println("#### " + number++);
            out.write(printed.toByteArray());
            out.flush();
        }
    }
}
