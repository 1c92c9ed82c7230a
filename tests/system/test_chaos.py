"""Everything at once, for a while: daemons are killed, stopped and started,
connections cut, scripts flushed, Redis killed and restarted, handlers edited,
while a producer goes on.  Afterwards the books must balance.

TEST_CHAOS_SECONDS (12) and TEST_CHAOS_SEED repeat and stretch it.
"""

import os
import random
import signal
import time
import unittest

from harness import World, enqueue_commands, wait_for
from test_crash import SCHEMA, WORK

SECONDS = float(os.environ.get("TEST_CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("TEST_CHAOS_SEED", time.time_ns() % 1000000))


class Chaos(World):
    database = True
    schema = SCHEMA
    handlers = {"work.lua": WORK}
    aof = True

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.acknowledged, self.unknown = [], set()
        self.killed, self.stopped = set(), set()
        self.live, self.lives, self.edits = [], 0, 0

    def begin(self):
        self.lives += 1
        tag = f"life {self.lives}"
        daemon = self.start(
            ready=False, name=tag, TAG=tag, LUNAQ_ENV="TAG", LUNAQ_LEASE="10s",
            LUNAQ_SHUTDOWN_TIMEOUT="1s", WORKER_CONCURRENCY=8,
            LUNAQ_CRASH_LIMIT=0)
        self.live.append(daemon)

    def produce(self):
        if self.r("LLEN", "asynq:{default}:pending") > 500:
            time.sleep(0.01)  # enough to do: the end must be near
            return
        for _ in range(self.random.randrange(1, 30)):
            seconds = self.random.choice(("0", "0", "0.01", "0.1"))
            task, commands = enqueue_commands("work", f'{{"seconds":{seconds}}}')
            self.r.pipeline(commands)
            self.acknowledged.append(task)

    # What may happen.

    def kill_daemon(self):
        daemon = self.live.pop(self.random.randrange(len(self.live)))
        daemon.kill()
        self.killed.add(daemon.name)
        self.begin()

    def stop_daemon(self):
        daemon = self.live.pop(self.random.randrange(len(self.live)))
        daemon.signal(self.random.choice((signal.SIGTERM, signal.SIGINT)))
        code = daemon.exit_code(30)
        # Its signals are not its own until main() has begun.
        self.assertIn(code, (0, 1, -signal.SIGTERM, -signal.SIGINT), daemon.tail())
        self.stopped.add(daemon.name)
        if code:  # the broker was away, or it was still starting
            self.killed.add(daemon.name)
        self.begin()

    def cut_connections(self):
        self.r("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def flush_scripts(self):
        self.r("SCRIPT", "FLUSH")

    def restart_redis(self):
        task, commands = enqueue_commands("work", '{"seconds":0}')
        self.unknown.add(task)
        self.r.socket.sendall(b"".join(map(self.r.encode, commands)))
        self.redis.kill()  # read or not, nobody knows
        self.redis.start()
        self.r = self.redis.client

    def freeze_redis(self):
        self.redis.signal(signal.SIGSTOP)
        end = time.monotonic() + self.random.random() * 2
        wait_for("the end of the pause", lambda: time.monotonic() > end)
        self.redis.signal(signal.SIGCONT)

    def edit(self):
        self.edits += 1
        self.write("handlers/work.lua", WORK + f"\n-- edit {self.edits}\n")

    def break_handler(self):
        self.write("handlers/work.lua", "return {")

    def test_books_balance(self):
        print(f"seed {SEED}, {SECONDS:.0f} s", flush=True)
        happenings = [self.kill_daemon] * 3 + [
            self.stop_daemon, self.cut_connections, self.flush_scripts,
            self.restart_redis, self.freeze_redis, self.edit, self.break_handler]
        self.begin()
        self.begin()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.produce()
            if self.random.random() < 0.15:
                self.random.choice(happenings)()
        self.write("handlers/work.lua", WORK)
        while self.live and any(d.process.poll() is not None for d in self.live):
            # It could not start: Redis was away, or the handler broken.
            gone = next(d for d in self.live if d.process.poll() is not None)
            self.assertEqual(gone.process.returncode, 1, gone.tail())
            self.live.remove(gone)
        if not self.live:
            self.begin()
        self.wait_empty(seconds=90)
        for daemon in self.live:
            self.assertEqual(daemon.stop(), 0, daemon.tail())
        self.check_books()

    def check_books(self):
        self.check_audit()
        self.assertEqual(self.state()["archived"], [])
        rows = self.postgres.rows("select id, phase, tag from effects order by at")
        starts, ended = {}, set()
        for task, phase, tag in rows:
            if phase == "start":
                starts.setdefault(task, []).append(tag)
            else:
                ended.add(task)
        self.assertEqual(set(self.acknowledged) - ended, set(), "lost")
        self.assertLessEqual(set(starts), set(self.acknowledged) | self.unknown,
                             "never enqueued")
        gone = self.killed | self.stopped
        for task, tags in starts.items():
            for tag in tags[:-1]:
                self.assertIn(tag, gone, f"{task} ran again though {tag} lived: {tags}")
        repeats = sum(len(tags) - 1 for tags in starts.values())
        print(f"{len(self.acknowledged)} tasks, {repeats} repeats, "
              f"{self.lives} lives", flush=True)


if __name__ == "__main__":
    unittest.main()
