# Messages that RabbitMQ gives up, for three reasons, and a quorum queue, of which it holds two messages; then `ready`.
# The argument is the port.
import sys
import time

from kombu import Connection

with Connection(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}//", heartbeat=0) as connection:
    channel = connection.channel()

    def declare(name, **arguments):
        arguments = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
        channel.queue_declare(queue=name, durable=True, auto_delete=False, arguments=arguments)

    def publish(name, count):
        for number in range(count):
            channel.basic_publish(channel.prepare_message("4111-secret", content_type="text/plain", content_encoding="utf-8"), exchange="", routing_key=name)

    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    declare("dead")
    declare("refused", **dead)
    declare("late", message_ttl=1, **dead)
    declare("full", max_length=1, **dead)
    declare("safe", queue_type="quorum")
    channel.confirm_select()
    publish("refused", 2)
    publish("late", 3)
    publish("full", 5)
    publish("safe", 6)
    for number in range(2):
        while (message := channel.basic_get("refused")) is None:
            time.sleep(0.05)
        channel.basic_reject(message.delivery_tag, requeue=False)
    taken = []
    channel.basic_qos(0, 2, False)
    channel.basic_consume("safe", callback=taken.append, no_ack=False)
    while len(taken) < 2:
        connection.drain_events(timeout=10)
    print("ready", flush=True)
    time.sleep(3600)
