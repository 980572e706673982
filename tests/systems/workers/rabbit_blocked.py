# A RabbitMQ producer that publishes once, then `ready`; it stays. The argument is the port.
import sys
import time

from kombu import Connection

with Connection(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}//", heartbeat=0) as connection:
    channel = connection.channel()
    message = channel.prepare_message("4111-secret", content_type="text/plain", content_encoding="utf-8")
    channel.basic_publish(message, exchange="", routing_key="nobody")
    print("ready", flush=True)
    time.sleep(3600)
