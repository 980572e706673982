"""The small application of the stages: it answers over HTTP, asks a Postgres, and writes its log as JSON lines.

LISTEN=ADDRESS:PORT and NAME are needed. The rest is for the scenarios:
DB      where its Postgres is, in libpq's words; none: it asks nobody
POOL    connections that it keeps, 4; a request without one waits
WORKERS requests that it works on at a time, 4; others wait
WORK    milliseconds of processor time that each request takes, 0
FAIL    share of the requests that a bad release fails, 0
CACHE   port of the Redis that keeps prices
PRICES  where those are asked who know the prices: another application like this one, which becomes slow on /slower?s=3
"""

import contextlib
import ctypes
import http.server
import json
import os
import queue
import random
import threading
import time
import urllib.parse
import urllib.request

import psycopg2
import redis

HOST, PORT = os.environ["LISTEN"].rsplit(":", 1)
WORK = float(os.environ.get("WORK", "0")) / 1000
FAIL = float(os.environ.get("FAIL", "0"))
DB = os.environ.get("DB")
CACHE = redis.Redis(port=int(os.environ["CACHE"])) if "CACHE" in os.environ else None
PRICES = os.environ.get("PRICES")
SLOW = [0.0]
WORKERS = threading.Semaphore(int(os.environ.get("WORKERS", "4")))
POOL = queue.Queue()
for _ in range(int(os.environ.get("POOL", "4"))):
    POOL.put(None)

# Grows by a megabyte every sixty milliseconds, as a report over all orders does that nobody has limited.
REPORT = (
    "SELECT cardinality(array_agg(repeat('order line ', 95000) || pg_sleep(0.06)::text)) "
    "FROM generate_series(1, 5000)"
)


def log(level, message, **more):
    print(json.dumps({"time": time.time(), "level": level, "msg": message, **more}), flush=True)


def ask(sql, values=()):
    """Rows of a statement, by a connection of the pool; a broken one is replaced."""
    connection = POOL.get()
    try:
        if connection is None:
            connection = psycopg2.connect(DB, connect_timeout=5)
            connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()
    except psycopg2.Error:
        if connection is not None:
            connection.close()
        connection = None
        raise
    finally:
        POOL.put(connection)


def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def call(limit):
    """Asks the others, and logs how long it took."""
    began, outcome = time.monotonic(), "answered"
    try:
        with urllib.request.urlopen(f"http://{PRICES}/", timeout=limit) as response:
            return json.load(response)
    except OSError:
        outcome = "timed out"
        raise
    finally:
        called = {"server.address": "prices.example", "seconds": round(time.monotonic() - began, 4)}
        log("info" if outcome == "answered" else "error", f"upstream {outcome}", **called)


def price():
    """From the cache, else from the others, who are not waited for longer than three seconds."""
    key = f"price:{random.randrange(50)}"
    known = CACHE.get(key)
    if known is None:
        try:
            known = call(3)["price"]
        except OSError:
            return {"price": None}
        CACHE.set(key, known, ex=random.randrange(40, 80))
    return {"price": int(known)}


def invoice():
    """Asks the others inside of a transaction, as one should not: the row is locked until they have answered."""
    connection = psycopg2.connect(DB, connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE orders SET total = total + 1 WHERE id = 1")
            return call(60)
    finally:
        connection.close()


def answer(path, query):
    if random.random() < FAIL:
        raise RuntimeError("release 42 knows no price")
    work(WORK)
    if path == "/slower":
        SLOW[0] = float(query["s"][0])
        return {"ok": True}
    if path == "/price":
        return price()
    if path == "/invoice":
        return invoice()
    if path in ("/mail", "/push"):
        return call(60 if path == "/mail" else 2)
    if DB is None:
        time.sleep(SLOW[0])
        return {"price": 42}
    if path == "/import":
        return {"rows": len(ask("INSERT INTO visits SELECT now() FROM generate_series(1, 500) RETURNING 1"))}
    if path == "/report":
        return {"report": ask(REPORT)[0][0]}
    if path == "/sleep":
        return {"slept": str(ask("SELECT pg_sleep(%s)", (float(query["s"][0]),)))}
    rows = ask("SELECT count(*), sum(total) FROM orders WHERE customer = %s", (random.randrange(100),))
    ask("INSERT INTO visits (at) VALUES (now()) RETURNING 1")
    return {"orders": rows[0][0]}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        with WORKERS:
            try:
                status, body = 200, answer(url.path, urllib.parse.parse_qs(url.query))
            except Exception as error:
                status, body = 500, {"error": type(error).__name__}
                log("error", "request failed", path=url.path, error=str(error).strip())
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        # One who has stopped waiting gets nothing.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(text)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = int(os.environ.get("BACKLOG", "64"))


# The name by which the agent groups processes: not that of every other Python.
ctypes.CDLL(None).prctl(15, b"shop-app", 0, 0, 0)
log("info", "listening", name=os.environ["NAME"], address=os.environ["LISTEN"])
Server((HOST, int(PORT)), Handler).serve_forever()
