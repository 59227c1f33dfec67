import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.lang.reflect.Proxy;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.ErrorHandlerContext;
import org.apache.kafka.streams.errors.internals.ExceptionHandlerUtils;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;

/**
 * A Kafka Streams topology over a dead-letter topic that prints what the headers of Streams' own dead-letter queue say: a
 * JSON object per record. Beside it: which of the headers Streams would have written, and with the same bytes.
 *
 * java -cp JARS StreamsReader.java BOOTSTRAP DEAD_LETTER_TOPIC RECORDS STATE_DIRECTORY
 */
public class StreamsReader {
    static final long PATIENCE_SECONDS = 60;
    static CountDownLatch left;

    public static void main(String[] arguments) throws Exception {
        left = new CountDownLatch(Integer.parseInt(arguments[2]));
        var properties = new Properties();
        properties.put("application.id", arguments[1] + "-streams");
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("state.dir", arguments[3]);
        properties.put("auto.offset.reset", "earliest");
        properties.put("default.key.serde", Serdes.ByteArraySerde.class.getName());
        properties.put("default.value.serde", Serdes.ByteArraySerde.class.getName());
        var builder = new StreamsBuilder();
        builder.<byte[], byte[]>stream(arguments[1]).process(Letters::new);
        try (var streams = new KafkaStreams(builder.build(), properties)) {
            streams.start();
            if (!left.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                System.err.println(left.getCount() + " records did not come within " + PATIENCE_SECONDS + " s");
                System.exit(1);
            }
        }
    }

    static class Letters extends ContextualProcessor<byte[], byte[], Void, Void> {
        @Override
        public void process(Record<byte[], byte[]> letter) {
            var headers = letter.headers();
            var understood = new LinkedHashMap<String, Object>();
            understood.put("topic", text(headers, ExceptionHandlerUtils.HEADER_ERRORS_TOPIC_NAME));
            understood.put("partition", Integer.parseInt(text(headers, ExceptionHandlerUtils.HEADER_ERRORS_PARTITION_NAME)));
            understood.put("offset", Long.parseLong(text(headers, ExceptionHandlerUtils.HEADER_ERRORS_OFFSET_NAME)));
            understood.put("exception", text(headers, ExceptionHandlerUtils.HEADER_ERRORS_EXCEPTION_NAME));
            understood.put("message", text(headers, ExceptionHandlerUtils.HEADER_ERRORS_EXCEPTION_MESSAGE_NAME));
            understood.put("stackTrace", text(headers, ExceptionHandlerUtils.HEADER_ERRORS_STACKTRACE_NAME));
            understood.put("asStreamsWrites", asStreamsWrites(letter, understood));
            try {
                System.out.println(new ObjectMapper().writeValueAsString(understood));
            } catch (Exception impossible) {
                throw new IllegalStateException(impossible);
            }
            left.countDown();
        }
    }

    static String text(Headers headers, String name) {
        return new String(headers.lastHeader(name).value(), StandardCharsets.UTF_8);
    }

    /** By header: whether Streams writes the same bytes about the same record; what is about the exception by name only. */
    static Map<String, Boolean> asStreamsWrites(Record<byte[], byte[]> letter, Map<String, Object> understood) {
        var facts = Map.of("topic", understood.get("topic"), "partition", understood.get("partition"),
            "offset", understood.get("offset"), "timestamp", letter.timestamp(), "headers", new RecordHeaders());
        var context = (ErrorHandlerContext) Proxy.newProxyInstance(StreamsReader.class.getClassLoader(),
            new Class<?>[] {ErrorHandlerContext.class}, (proxy, method, values) -> facts.get(method.getName()));
        var theirs = ExceptionHandlerUtils.buildDeadLetterQueueRecord("dlq", letter.key(), letter.value(), context,
            new IllegalStateException("because"));
        var same = new TreeMap<String, Boolean>();
        for (var header : theirs.headers()) {
            var ours = letter.headers().lastHeader(header.key());
            boolean isAboutException = header.key().matches(".*(exception|message|stacktrace)");
            same.put(header.key(), ours != null && (isAboutException || Arrays.equals(ours.value(), header.value())));
        }
        return same;
    }
}
