# A RabbitMQ producer and consumer with known numbers, then `ready`; it holds two messages. The argument is the port.
import sys
import time

from kombu import Connection

with Connection(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}//", heartbeat=0) as connection:
    channel = connection.channel()
    channel.queue_declare(queue="mail", durable=True, auto_delete=False)
    channel.queue_declare(queue="empty", durable=True, auto_delete=False)
    channel.confirm_select()
    for number in range(10):
        message = channel.prepare_message("4111-secret", content_type="text/plain", content_encoding="utf-8")
        channel.basic_publish(message, exchange="", routing_key="mail")
    for number in range(3):
        message = channel.prepare_message("lost", content_type="text/plain", content_encoding="utf-8")
        channel.basic_publish(message, exchange="", routing_key="nobody")
    taken = []
    channel.basic_qos(0, 2, False)
    channel.basic_consume("mail", callback=taken.append, no_ack=False)
    while len(taken) < 1:
        connection.drain_events(timeout=10)
    channel.basic_ack(taken[0].delivery_info["delivery_tag"])
    while len(taken) < 3:
        connection.drain_events(timeout=10)
    print("ready", flush=True)
    time.sleep(3600)
