# A Celery worker and its producer in one: a task is held, others wait; then `ready`. The argument is the broker's URL.
import sys
import threading

from celery import Celery

app = Celery("tests", broker=sys.argv[1])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_concurrency=1,
    worker_redirect_stdouts=False,
    broker_heartbeat=0,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    task_create_missing_queues=True,
)
held = threading.Event()


@app.task(name="hold")
def hold(secret):
    held.set()
    threading.Event().wait()


@app.task(name="good")
def good(secret):
    pass


def produce():
    for _ in range(2):
        good.apply_async(("4111-secret",), queue="work")
    hold.apply_async(("4111-secret",), queue="work")
    held.wait()
    for _ in range(3):
        good.apply_async(("4111-secret",), queue="work")
    for _ in range(5):
        good.apply_async(("4111-secret",), queue="celery")
    for _ in range(2):
        good.apply_async(("4111-secret",), queue="celery", priority=6)
    print("ready", flush=True)


threading.Thread(target=produce, daemon=True).start()
app.worker_main(["worker", "-Q", "work", "-P", "solo", "--without-gossip", "--without-mingle", "-l", "ERROR"])
