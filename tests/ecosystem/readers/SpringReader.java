import java.math.BigInteger;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.core.ProducerFactory;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.ListenerExecutionFailedException;
import org.springframework.kafka.retrytopic.RetryTopicHeaders;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.messaging.handler.annotation.Header;

/**
 * Listens to a dead-letter topic and a retry topic with Spring Kafka, and prints what Spring makes of the headers: a JSON
 * object per record. Beside it: which of the headers Spring's own recoverer would have written, and with the same bytes.
 *
 * java -cp JARS SpringReader.java BOOTSTRAP DEAD_LETTER_TOPIC RETRY_TOPIC RECORDS
 */
public class SpringReader {
    static final long PATIENCE_SECONDS = 60;
    static CountDownLatch left;

    public static void main(String[] arguments) throws Exception {
        System.setProperty("letters", arguments[1]);
        System.setProperty("retries", arguments[2]);
        left = new CountDownLatch(Integer.parseInt(arguments[3]));
        var consumers = new DefaultKafkaConsumerFactory<byte[], byte[]>(Map.of(
            "bootstrap.servers", arguments[0],
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed"
        ), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var containers = new ConcurrentKafkaListenerContainerFactory<byte[], byte[]>();
        containers.setConsumerFactory(consumers);
        try (var context = new AnnotationConfigApplicationContext()) {
            context.registerBean("kafkaListenerContainerFactory", ConcurrentKafkaListenerContainerFactory.class, () -> containers);
            context.register(Listener.class);
            context.refresh();
            if (!left.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                System.err.println(left.getCount() + " records did not come within " + PATIENCE_SECONDS + " s");
                System.exit(1);
            }
        }
    }

    static synchronized void print(Map<String, Object> understood) {
        try {
            System.out.println(new ObjectMapper().writeValueAsString(understood));
        } catch (Exception impossible) {
            throw new IllegalStateException(impossible);
        }
        left.countDown();
    }

    @EnableKafka
    public static class Listener {
        @KafkaListener(topics = "${letters}", groupId = "${letters}-spring")
        public void letter(
            ConsumerRecord<byte[], byte[]> record,
            @Header(KafkaHeaders.DLT_ORIGINAL_TOPIC) String topic,
            @Header(KafkaHeaders.DLT_ORIGINAL_PARTITION) int partition,
            @Header(KafkaHeaders.DLT_ORIGINAL_OFFSET) long offset,
            @Header(KafkaHeaders.DLT_ORIGINAL_TIMESTAMP) long timestamp,
            @Header(KafkaHeaders.DLT_ORIGINAL_TIMESTAMP_TYPE) String type,
            @Header(KafkaHeaders.DLT_ORIGINAL_CONSUMER_GROUP) String group,
            @Header(KafkaHeaders.DLT_EXCEPTION_FQCN) String exception,
            @Header(KafkaHeaders.DLT_EXCEPTION_CAUSE_FQCN) String cause,
            @Header(KafkaHeaders.DLT_EXCEPTION_MESSAGE) String message,
            @Header(KafkaHeaders.DLT_EXCEPTION_STACKTRACE) String trace,
            @Header(RetryTopicHeaders.DEFAULT_HEADER_ATTEMPTS) int attempts
        ) {
            var understood = new LinkedHashMap<String, Object>();
            understood.put("kind", "letter");
            understood.put("topic", topic);
            understood.put("partition", partition);
            understood.put("offset", offset);
            understood.put("timestamp", timestamp);
            understood.put("timestampType", type);
            understood.put("group", group);
            understood.put("exception", exception);
            understood.put("cause", cause);
            understood.put("message", message);
            understood.put("stackTrace", trace);
            understood.put("attempts", attempts);
            understood.put("asSpringWrites", asSpringWrites(record, topic, partition, offset, timestamp, type, group));
            print(understood);
        }

        @KafkaListener(topics = "${retries}", groupId = "${retries}-spring")
        public void retry(
            ConsumerRecord<byte[], byte[]> record,
            @Header(RetryTopicHeaders.DEFAULT_HEADER_ATTEMPTS) int attempts,
            @Header(RetryTopicHeaders.DEFAULT_HEADER_ORIGINAL_TIMESTAMP) byte[] original,
            @Header(RetryTopicHeaders.DEFAULT_HEADER_BACKOFF_TIMESTAMP) byte[] due
        ) {
            var understood = new LinkedHashMap<String, Object>();
            understood.put("kind", "retry");
            understood.put("attempts", attempts);
            // As DeadLetterPublishingRecovererFactory and KafkaBackoffAwareMessageListenerAdapter read them.
            understood.put("originalTimestamp", new BigInteger(original).longValue());
            understood.put("due", new BigInteger(due).longValue());
            print(understood);
        }
    }

    /** By header: whether Spring's recoverer writes the same bytes about the same record; what is about the exception by name only. */
    static Map<String, Boolean> asSpringWrites(
        ConsumerRecord<byte[], byte[]> letter, String topic, int partition, long offset, long timestamp, String type, String group
    ) {
        var original = new ConsumerRecord<>(topic, partition, offset, timestamp, TimestampType.forName(type), 0, 0,
            letter.key(), letter.value(), new RecordHeaders(), Optional.empty());
        var producer = new MockProducer<>(true, null, new ByteArraySerializer(), new ByteArraySerializer());
        ProducerFactory<byte[], byte[]> producers = new ProducerFactory<>() {
            @Override
            public Producer<byte[], byte[]> createProducer() {
                return producer;
            }
        };
        var recoverer = new DeadLetterPublishingRecoverer(new KafkaTemplate<>(producers));
        recoverer.accept(original, new ListenerExecutionFailedException("it failed", group, new IllegalStateException("because")));
        var same = new TreeMap<String, Boolean>();
        for (var header : producer.history().get(0).headers()) {
            var ours = letter.headers().lastHeader(header.key());
            boolean isAboutException = header.key().contains("exception");
            same.put(header.key(), ours != null && (isAboutException || Arrays.equals(ours.value(), header.value())));
        }
        return same;
    }
}
