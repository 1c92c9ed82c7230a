"""What is measured, a function a part.  Each turn of `compare` calls them with
the sides in another order."""
import signal
import subprocess
import threading
import time

from machine import cpu_seconds, failed, rss_mb, stop, wait_for

CONCURRENCIES = (1, 10, 100, 1000)
IN_FLIGHT = 10000
IN_FLIGHT_MS = 2500 # that each of them waits: until all are in hand
BESIDE = 100       # slots left beside the waiting ones


def drain(bench, side, worker, total, waiting=0):
    """Waits until `total` tasks have ended, beside `waiting` ones that do not.
    Returns tasks, seconds, and CPU seconds of worker and Redis, from the first
    that ended to the last."""
    first = None
    end = time.monotonic() + 180
    while True:
        done, now = side.done(total + waiting), time.monotonic()
        if first is None and done:
            first, before = now, done
            worker_cpu = cpu_seconds(worker.pid)
            redis_cpu = bench.redis.cpu_seconds()
        if done >= total:
            break
        if now > end or failed(worker):
            raise SystemExit("compare: %s stopped at %d of %d tasks"
                             % (side.name, done, total))
        time.sleep(0.005)
    return (done - before, now - first, cpu_seconds(worker.pid) - worker_cpu,
            bench.redis.cpu_seconds() - redis_cpu)


def process(bench):
    for concurrency in CONCURRENCIES:
        for side in bench.sides("worker"):
            if concurrency <= side.in_flight_max:
                process_one(bench, side, concurrency)


def process_one(bench, side, concurrency):
    total = bench.o.tasks if concurrency > 1 else bench.o.tasks * 2 // 5
    bench.redis("FLUSHALL")
    side.fill(total)
    worker = side.worker(concurrency)
    tasks, seconds, cpu, redis = drain(bench, side, worker, total)
    if tasks:
        bench.add("process/s, concurrency %d" % concurrency, side,
                  tasks / seconds)
        bench.add("Redis CPU s per 100k, at %d" % concurrency, side,
                  redis * 1e5 / tasks)
        bench.add("worker CPU s per 100k, at %d" % concurrency, side,
                  cpu * 1e5 / tasks)
    stop(worker)


def in_flight(bench):
    """10,000 at once that end in the order in which they began; then short
    ones beside 10,000 that wait for long."""
    for side in bench.sides("worker"):
        if side.in_flight_max < IN_FLIGHT:
            continue
        bench.redis("FLUSHALL")
        side.fill(IN_FLIGHT, "sleep", IN_FLIGHT_MS)
        worker = side.worker(IN_FLIGHT)
        tasks, seconds, _, redis = drain(bench, side, worker, IN_FLIGHT)
        bench.add("finish/s, 10000 in flight", side, tasks / seconds)
        bench.add("Redis CPU s per 100k, 10000 in flight", side,
                  redis * 1e5 / tasks)
        stop(worker, signal.SIGKILL)

        bench.redis("FLUSHALL")
        side.fill(IN_FLIGHT, "sleep", 300000)
        side.fill(bench.o.tasks // 4)
        worker = side.worker(IN_FLIGHT + BESIDE)
        tasks, seconds, _, _ = drain(bench, side, worker, bench.o.tasks // 4,
                                     waiting=IN_FLIGHT)
        bench.add("RSS MB, 10000 in flight", side, rss_mb(worker.pid))
        bench.add("process/s beside 10000 waiting", side, tasks / seconds)
        stop(worker, signal.SIGKILL)


def enqueue(bench):
    n = bench.o.tasks
    for row, producers, batch, count in (
            ("enqueue/s, one by one", 1, 1, n // 5),
            ("enqueue/s, 8 producers one by one", 8, 1, n),
            ("enqueue/s, 8 producers batched", 8, 100, n)):
        for side in bench.sides("enqueue"):
            bench.redis("FLUSHALL")
            bench.add(row, side, count / side.enqueue(count, producers, batch))


def latency(bench):
    for rate in (200, 2000):
        measured(bench, "enqueue -> start ms at %d/s" % rate, rate, False)


def lateness(bench):
    measured(bench, "scheduled: ms late", 200, True)


def measured(bench, row, rate, scheduled):
    for side in bench.sides("measure"):
        if scheduled and side.name == "blpop":
            continue
        bench.redis("FLUSHALL")
        daemon = side.worker(10) if side.name == "lunaq" else None
        if daemon:
            wait_for(side.is_up, 15, "lunaqd does not show up")
        took = side.measure(rate, bench.o.seconds, scheduled)
        if daemon:
            stop(daemon)
        bench.add(row + ", p50", side, took["p50_ms"])
        bench.add(row + ", p99", side, took["p99_ms"])


def idle(bench):
    for side in bench.sides("worker"):
        if side.in_flight_max < IN_FLIGHT:
            continue
        bench.redis("FLUSHALL")
        worker = side.worker(10)
        wait_for(side.is_up, 15, side.name + " does not show up")
        time.sleep(1)
        cpu = cpu_seconds(worker.pid)
        time.sleep(bench.o.seconds)
        bench.add("idle: CPU, % of a core", side,
                  (cpu_seconds(worker.pid) - cpu) * 100 / bench.o.seconds)
        bench.add("idle: RSS MB", side, rss_mb(worker.pid))
        stop(worker)


def reload(bench):
    """A handler file is replaced by rename: until the log says it is live."""
    for side in bench.sides("worker"):
        if side.name != "lunaq":
            continue
        bench.redis("FLUSHALL")
        daemon = side.worker(10, "info", stderr=subprocess.PIPE)
        seen = threading.Semaphore(0)

        def read():
            for line in daemon.stderr:
                if b"reload" in line:
                    seen.release()
        threading.Thread(target=read, daemon=True).start()
        wait_for(side.is_up, 15, "lunaqd does not show up")
        time.sleep(1)
        while seen.acquire(blocking=False):
            pass
        for i in range(3):
            saved = time.monotonic()
            bench.write_handler("noop", "return function() return %d end\n" % i)
            if not seen.acquire(timeout=10):
                raise SystemExit("compare: no reload within 10 s of an edit")
            bench.add("handler save -> live, ms", side,
                      (time.monotonic() - saved) * 1000)
            time.sleep(0.5)
        bench.write_handler("noop", "return function() end\n")
        stop(daemon)


PARTS = {"process": process, "in_flight": in_flight, "enqueue": enqueue,
         "latency": latency, "lateness": lateness, "idle": idle,
         "reload": reload}
RARE, RARE_ROUNDS = ("idle", "reload"), 3 # they hardly vary
