import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter;
import org.apache.kafka.connect.runtime.errors.ProcessingContext;
import org.apache.kafka.connect.runtime.errors.Stage;
import org.apache.kafka.connect.util.ConnectorTaskId;

/**
 * Reads a dead-letter topic by the names and types of Kafka Connect's own reporter, and has that reporter write about the same
 * failures: a JSON object per record.
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
                    System.out.println(new ObjectMapper().writeValueAsString(understood(letter)));
                    left--;
                }
            }
        }
    }

    static Map<String, Object> understood(ConsumerRecord<byte[], byte[]> letter) throws Exception {
        var headers = letter.headers();
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
        understood.put("asConnectWrites", asConnectWrites(letter, understood));
        return understood;
    }

    /** By header: whether Connect's reporter writes the same bytes about the same failure of the same record. */
    static Map<String, Boolean> asConnectWrites(ConsumerRecord<byte[], byte[]> letter, Map<String, Object> understood) throws Exception {
        var original = new ConsumerRecord<>((String) understood.get("topic"), (int) understood.get("partition"),
            (long) understood.get("offset"), letter.key(), letter.value());
        var context = new ProcessingContext<>(original);
        context.currentContext(Stage.valueOf((String) understood.get("stage")), named((String) understood.get("className")));
        context.error(thrown(understood));
        var theirs = new ProducerRecord<byte[], byte[]>("dlq", letter.key(), letter.value());
        var task = new ConnectorTaskId((String) understood.get("connector"), (int) understood.get("task"));
        var populate = DeadLetterQueueReporter.class.getDeclaredMethod("populateContextHeaders", ProducerRecord.class, ProcessingContext.class);
        populate.setAccessible(true);
        populate.invoke(reporter(task), theirs, context);
        var same = new TreeMap<String, Boolean>();
        for (var header : theirs.headers()) {
            var ours = letter.headers().lastHeader(header.key());
            same.put(header.key(), ours != null && Arrays.equals(ours.value(), header.value()));
        }
        for (var header : letter.headers()) {
            if (header.key().startsWith(DeadLetterQueueReporter.HEADER_PREFIX)) {
                same.putIfAbsent(header.key(), false);
            }
        }
        return same;
    }

    /** Its constructor wants a worker with its metrics and plugins, of which headers need nothing. */
    static DeadLetterQueueReporter reporter(ConnectorTaskId task) throws Exception {
        var unsafe = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        unsafe.setAccessible(true);
        var reporter = (DeadLetterQueueReporter) ((sun.misc.Unsafe) unsafe.get(null)).allocateInstance(DeadLetterQueueReporter.class);
        var id = DeadLetterQueueReporter.class.getDeclaredField("connectorTaskId");
        id.setAccessible(true);
        id.set(reporter, task);
        return reporter;
    }

    /** What a connector would have thrown, of that class and from that place: the last line of the trace is `at PLACE(FILE:LINE)`. */
    static Throwable thrown(Map<String, Object> understood) throws Exception {
        var error = (Throwable) named((String) understood.get("exception")).getConstructor(String.class)
            .newInstance((String) understood.get("message"));
        var trace = (String) understood.get("stackTrace");
        var at = trace.substring(trace.lastIndexOf("\n\tat ") + 5, trace.length() - 2);
        var place = at.substring(0, at.indexOf('('));
        var file = at.substring(at.indexOf('(') + 1);
        int dot = place.lastIndexOf('.');
        int colon = file.lastIndexOf(':');
        error.setStackTrace(new StackTraceElement[] {new StackTraceElement(place.substring(0, dot), place.substring(dot + 1),
            colon < 0 ? null : file.substring(0, colon), colon < 0 ? -1 : Integer.parseInt(file.substring(colon + 1)))});
        return error;
    }

    /** An exception of this name, which need be none that Java's language has: `transient` is a word of it. */
    static Class<?> named(String name) throws IOException {
        var bytes = new ByteArrayOutputStream();
        var out = new DataOutputStream(bytes);
        out.writeInt(0xCAFEBABE);
        out.writeInt(52);
        // Nine constants; 1 and 3 are the class and its parent, 9 is the parent's constructor.
        out.writeShort(10);
        for (String type : List.of(name.replace('.', '/'), "java/lang/RuntimeException")) {
            out.writeByte(7);
            out.writeShort(type.startsWith("java/") ? 4 : 2);
            out.writeByte(1);
            out.writeUTF(type);
        }
        for (String text : List.of("<init>", "(Ljava/lang/String;)V", "Code")) {
            out.writeByte(1);
            out.writeUTF(text);
        }
        out.write(new byte[] {12, 0, 5, 0, 6, 10, 0, 3, 0, 8});
        // Public, of these classes; no interfaces and no fields; one constructor, which calls its parent's.
        out.write(new byte[] {0, 0x21, 0, 1, 0, 3, 0, 0, 0, 0, 0, 1, 0, 1, 0, 5, 0, 6, 0, 1, 0, 7});
        byte[] code = {0x2a, 0x2b, (byte) 0xb7, 0, 9, (byte) 0xb1};
        out.writeInt(12 + code.length);
        out.write(new byte[] {0, 2, 0, 2, 0, 0, 0, (byte) code.length});
        out.write(code);
        out.write(new byte[6]);
        return new ClassLoader() {
            Class<?> defined() {
                return defineClass(name, bytes.toByteArray(), 0, bytes.size());
            }
        }.defined();
    }

    static String text(Headers headers, String name) {
        return new String(headers.lastHeader(name).value(), StandardCharsets.UTF_8);
    }
}
