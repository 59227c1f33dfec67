"""Reads every topic of a cluster as others would, and prints a JSON object per record.

Values are decoded by Confluent's AvroDeserializer (fastavro), or as JSON where their headers say so, attributes are found by
the CloudEvents SDK, and the trace by OpenTelemetry's propagator. What cannot be decoded has an "error" and its bytes.

    python topics.py BOOTSTRAP REGISTRY_URL
"""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from confluent_kafka import Consumer, KafkaError, OFFSET_BEGINNING, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# Of all partitions together, from one message to the next.
PATIENCE_SECONDS = 30


class Untouched:
    """The data of a CloudEvent as the bytes that they are."""

    def read_data(self, value, _content_type):
        return value


class Reader:
    def __init__(self, registry_url):
        self.registry = SchemaRegistryClient({"url": registry_url})
        self.decode = AvroDeserializer(self.registry)

    def schema_of(self, value):
        number = int.from_bytes(value[1:5], "big")
        schema = json.loads(self.registry.get_schema(number).schema_str)
        return {"id": number, "schema": f"{schema['namespace']}.{schema['name']}"}

    def data_of(self, message, content_type):
        value = message.value()
        if value is None:
            return {"id": None, "schema": None, "data": None}
        if content_type == "application/json":
            return {"id": None, "schema": None, "data": json.loads(value)}
        try:
            context = SerializationContext(message.topic(), MessageField.VALUE)
            return {**self.schema_of(value), "data": self.decode(value, context)}
        except Exception as error:  # Whatever their decoder says of it is what this is for.
            return {"error": f"{type(error).__name__}: {error}", "value": value.hex()}

    def event_of(self, message, headers):
        try:
            event = from_binary(KafkaMessage(headers, message.key(), message.value()), Untouched())
        except Exception as error:
            return {"no_event": f"{type(error).__name__}: {error}"}
        return {"event": {name: str(value) for name, value in event.get_attributes().items()}}

    def record(self, message):
        headers = dict(message.headers() or [])
        text = {name: (value or b"").decode(errors="replace") for name, value in headers.items()}
        span = get_current_span(TraceContextTextMapPropagator().extract(text)).get_span_context()
        return {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": message.key().decode(errors="replace") if message.key() is not None else None,
            "headers": text,
            "trace": f"{span.trace_id:032x}" if span.is_valid else None,
            **self.data_of(message, text.get("content-type")),
            **self.event_of(message, headers),
        }


def messages(bootstrap):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "never-joined",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    topics = consumer.list_topics(timeout=PATIENCE_SECONDS).topics.values()
    left = {(t.topic, p) for t in topics if not t.topic.startswith("__") for p in t.partitions}
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in left])
    while left:
        message = consumer.poll(PATIENCE_SECONDS)
        if message is None:
            sys.exit(f"not read to their ends within {PATIENCE_SECONDS} s: {sorted(left)}")
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            left.discard((message.topic(), message.partition()))
        else:
            sys.exit(str(message.error()))
    consumer.close()


def main():
    bootstrap, registry_url = sys.argv[1:]
    reader = Reader(registry_url)
    for message in messages(bootstrap):
        print(json.dumps(reader.record(message), default=str))


main()
