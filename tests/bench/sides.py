"""Who is compared: how each fills a queue, works on it, and measures itself.

A side is the system under test with its own client and its own worker, used as
its documentation says.  `limit` and `blpop` are no systems: they are what Redis
can do at most, without lunaq or anybody else.
"""
import os
import re
import shutil
import subprocess

from machine import output, start

HERE = os.path.dirname(os.path.abspath(__file__))
QUEUE = "bench"


class Side:
    """Asynq's keys, which lunaq shares; others override what differs."""
    in_flight_max = 100000

    def __init__(self, bench):
        self.bench = bench
        self.redis = bench.redis

    def done(self, total):
        """How many of `total` tasks have ended.  Read often: one command."""
        return int(self.redis("GET", "asynq:{%s}:processed" % QUEUE) or 0)

    def active(self):
        return self.redis("LLEN", "asynq:{%s}:active" % QUEUE)

    def is_up(self):
        return self.redis("ZCARD", "asynq:servers") > 0

    def fill(self, count, kind="noop", ms=0):
        output([self.bench.program("bench_fill"), self.redis.url, QUEUE,
                str(count), "1", "100", "bench:" + kind, '{"ms":%d}' % ms])


class Lunaq(Side):
    name = "lunaq"

    def worker(self, concurrency, level="warn", **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("LUNAQ_", "REDIS_", "DATABASE_URL"))}
        env["LUNAQ_BROKER"] = self.redis.url
        env["LUNAQ_QUEUES"] = QUEUE + "=1"
        env["WORKER_CONCURRENCY"] = str(concurrency)
        return start([self.bench.program("lunaqd"), "--log-level", level,
                      "--log-format", "json"],
                     env=env, cwd=self.bench.folder, **more)

    def enqueue(self, count, producers, batch):
        return output([self.bench.program("bench_fill"), self.redis.url, QUEUE,
                       str(count), str(producers), str(batch)])["seconds"]

    def measure(self, rate, seconds, scheduled):
        return output([self.bench.program("bench_latency"), self.redis.url,
                       QUEUE, str(rate), str(seconds)] +
                      (["scheduled"] if scheduled else []))


class Asynq(Side):
    name = "asynq"

    def __init__(self, bench):
        super().__init__(bench)
        self.program = bench.folder + "/asynq-bench"
        if not shutil.which("go"):
            raise LookupError("no go in PATH")
        if subprocess.run(["go", "build", "-o", self.program, "."],
                          cwd=HERE + "/go", timeout=600).returncode:
            raise LookupError("go build failed")

    def call(self, verb, *words):
        return [self.program, verb, "-redis", self.redis.address, "-queue",
                QUEUE] + [str(w) for w in words]

    def worker(self, concurrency):
        return start(self.call("serve", "-concurrency", concurrency))

    def enqueue(self, count, producers, batch):
        # Asynq 0.26 has no batches: its goroutines send one by one.
        return output(self.call("enqueue", "-n", count, "-producers",
                                producers))["seconds"]

    def measure(self, rate, seconds, scheduled):
        return output(self.call("lateness" if scheduled else "latency", "-rate",
                                rate, "-seconds", seconds))


class BullMQ(Side):
    name = "bullmq"

    def __init__(self, bench):
        super().__init__(bench)
        folder = HERE + "/bullmq"
        if not shutil.which("npm"):
            raise LookupError("no npm in PATH")
        if not os.path.isdir(folder + "/node_modules/bullmq") and subprocess.run(
                ["npm", "install", "--no-package-lock", "--no-audit",
                 "--no-fund", "--silent"],
                cwd=folder, timeout=600).returncode:
            raise LookupError("npm install failed")
        self.script = folder + "/bench.js"

    def call(self, verb, **options):
        argv = ["node", self.script, verb, "--port", str(self.redis.port),
                "--queue", QUEUE]
        for name, value in options.items():
            argv += ["--" + name, str(value)]
        return argv

    def key(self, name):
        return "bull:%s:%s" % (QUEUE, name)

    def done(self, total):
        # Only a job that ended has left both; `active` is read last, so that
        # one on its way is never taken for done.
        waiting = self.redis("LLEN", self.key("wait"))
        return total - waiting - self.active()

    def active(self):
        return self.redis("LLEN", self.key("active"))

    def is_up(self):
        # Ours, the worker's, and the one with which it waits.
        return self.redis("CLIENT", "LIST").count(b"\n") >= 3

    def fill(self, count, kind="noop", ms=0):
        output(self.call("enqueue", count=count, batch=100, type=kind, ms=ms))

    def worker(self, concurrency):
        return start(self.call("serve", concurrency=concurrency))

    def enqueue(self, count, producers, batch):
        return output(self.call("enqueue", count=count, producers=producers,
                                batch=batch))["seconds"]

    def measure(self, rate, seconds, scheduled):
        return output(self.call("lateness" if scheduled else "latency",
                                rate=rate, seconds=seconds))


class Limit(Side):
    """A C loop of one bare script over one connection, 100 tasks at most."""
    name = "limit"
    in_flight_max = 100

    def worker(self, concurrency):
        return start([self.bench.program("bench_limit"), "127.0.0.1",
                      str(self.redis.port), QUEUE, str(concurrency)])


class Script(Limit):
    """The same loop with lunaq's own script: what lies between `lunaq` and it
    is lunaqd, and between it and `limit` the script."""
    name = "script"

    def __init__(self, bench):
        super().__init__(bench)
        folder = HERE + "/../../core/broker/redis/scripts/"

        def read(name):
            with open(folder + name + ".lua") as f:
                return f.read()
        text = re.sub(r"^-- @include (\w+)$", lambda m: read(m.group(1)),
                      read("step"), flags=re.M)
        self.path = bench.folder + "/step.lua"
        with open(self.path, "w") as f:
            f.write(re.sub(r"^\s*--.*\n", "", text, flags=re.M))

    def worker(self, concurrency):
        return start([self.bench.program("bench_limit"), "127.0.0.1",
                      str(self.redis.port), QUEUE, str(concurrency), self.path])


class Blpop(Side):
    """A list and BLPOP between two processes: what a wake-up costs at least."""
    name = "blpop"

    def measure(self, rate, seconds, scheduled):
        return output([self.bench.program("bench_blpop"), "127.0.0.1",
                       str(self.redis.port), str(rate), str(seconds)])


ALL = (Lunaq, Asynq, BullMQ, Limit, Script, Blpop)
