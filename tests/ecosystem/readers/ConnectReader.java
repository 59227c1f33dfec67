import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter;
import org.apache.kafka.connect.runtime.errors.Stage;
import org.apache.kafka.connect.util.ConnectorTaskId;

/**
 * Reads a dead-letter topic by the names and types of Kafka Connect's own reporter: a JSON object per record.
 *
 * java -cp JARS ConnectReader.java BOOTSTRAP DEAD_LETTER_TOPIC RECORDS
 */
public class ConnectReader {
    static final long PATIENCE_SECONDS = 60;

    public static void main(String[] arguments) throws Exception {
        int left = Integer.parseInt(arguments[2]);
        Map<String, Object> properties = Map.of(
            "bootstrap.servers", arguments[0],
            "group.id", arguments[1] + "-connect",
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed"
        );
        long deadline = System.nanoTime() + Duration.ofSeconds(PATIENCE_SECONDS).toNanos();
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(arguments[1]));
            while (left > 0) {
                if (System.nanoTime() > deadline) {
                    System.err.println(left + " records did not come within " + PATIENCE_SECONDS + " s");
                    System.exit(1);
                }
                for (var letter : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println(new ObjectMapper().writeValueAsString(understood(letter.headers())));
                    left--;
                }
            }
        }
    }

    static Map<String, Object> understood(Headers headers) {
        var understood = new LinkedHashMap<String, Object>();
        understood.put("topic", text(headers, DeadLetterQueueReporter.ERROR_HEADER_ORIG_TOPIC));
        understood.put("partition", Integer.parseInt(text(headers, DeadLetterQueueReporter.ERROR_HEADER_ORIG_PARTITION)));
        understood.put("offset", Long.parseLong(text(headers, DeadLetterQueueReporter.ERROR_HEADER_ORIG_OFFSET)));
        var task = new ConnectorTaskId(text(headers, DeadLetterQueueReporter.ERROR_HEADER_CONNECTOR_NAME),
            Integer.parseInt(text(headers, DeadLetterQueueReporter.ERROR_HEADER_TASK_ID)));
        understood.put("connector", task.connector());
        understood.put("task", task.task());
        understood.put("stage", Stage.valueOf(text(headers, DeadLetterQueueReporter.ERROR_HEADER_STAGE)).name());
        understood.put("className", text(headers, DeadLetterQueueReporter.ERROR_HEADER_EXECUTING_CLASS));
        understood.put("exception", text(headers, DeadLetterQueueReporter.ERROR_HEADER_EXCEPTION));
        understood.put("message", text(headers, DeadLetterQueueReporter.ERROR_HEADER_EXCEPTION_MESSAGE));
        understood.put("stackTrace", text(headers, DeadLetterQueueReporter.ERROR_HEADER_EXCEPTION_STACK_TRACE));
        return understood;
    }

    static String text(Headers headers, String name) {
        return new String(headers.lastHeader(name).value(), StandardCharsets.UTF_8);
    }
}
