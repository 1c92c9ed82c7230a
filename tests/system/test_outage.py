"""Redis or PostgreSQL goes away under a living daemon, and comes back."""

import os
import signal
import time
import unittest

from harness import SLOW, World, wait_for
from test_crash import SCHEMA, WORK

# The whole length takes minutes: only when asked for.
LONG = os.environ.get("TEST_LONG") == "1"
LEASE, AWAY = (30, 45) if LONG else (10, 15)


class Outage(World):
    database = True
    schema = SCHEMA
    handlers = {"work.lua": WORK}
    aof = True

    def daemon(self, tag, **env):
        return self.start(name=tag, TAG=tag, LUNAQ_ENV="TAG",
                          LUNAQ_LEASE=f"{LEASE}s", **env)

    def starts(self):
        return {r[0]: int(r[1]) for r in self.postgres.rows(
            "select id, count(*) from effects where phase = 'start' group by id")}

    def away(self, daemons):
        """Lets the outage pass; measures what the daemons do meanwhile."""
        cpu = [d.cpu_seconds() for d in daemons]
        lines = [d.count() for d in daemons]
        begun = time.monotonic()
        wait_for("the outage is over", lambda: time.monotonic() - begun >= AWAY,
                 AWAY + 5, 0.2)
        took = time.monotonic() - begun
        for d, c, n in zip(daemons, cpu, lines):
            self.assertLessEqual((d.cpu_seconds() - c) / took, 0.05 * SLOW,
                                 f"CPU of {d.name}:\n{d.tail()}")
            self.assertLessEqual((d.count() - n) / took, 10,
                                 f"log of {d.name}:\n{d.tail()}")
            self.assertTrue(d.find("broker away", since=n), d.tail())

    def hold(self):
        """Two daemons; each task in their hands outlives the outage."""
        daemons = [self.daemon("a", WORKER_CONCURRENCY=10),
                   self.daemon("b", WORKER_CONCURRENCY=10)]
        # A recoverer counts from a link that has stood for 10 s: be fair to it.
        wait_for("both are settled", lambda: time.monotonic()
                 - daemons[1].lines[0]["_at"] > 11, 20, 0.1)
        seconds = AWAY + 5
        ids = self.enqueue_many(10, "work", lambda i: f'{{"seconds":{seconds}}}')
        wait_for("all have begun", lambda: len(self.starts()) == 10)
        return daemons, ids

    def check_once(self, daemons, ids):
        self.wait_empty(seconds=AWAY + 30)
        for d in daemons:
            self.assertEqual(d.stop(), 0, d.tail())
        self.assertEqual(self.starts(), {i: 1 for i in ids},
                         "re-run though its holder lived")
        ended = self.postgres.value(
            "select count(distinct id) from effects where phase = 'end'")
        self.assertEqual(int(ended), len(ids))
        self.check_audit()

    def test_redis__stopped_longer_than_a_lease__re_runs_nothing(self):
        daemons, ids = self.hold()
        self.redis.signal(signal.SIGSTOP)
        self.addCleanup(self.redis.signal, signal.SIGCONT)
        self.away(daemons)
        self.redis.signal(signal.SIGCONT)
        for d in daemons:
            d.wait("broker is back", 15)
        self.check_once(daemons, ids)

    def test_redis__killed_and_started_again__re_runs_nothing(self):
        daemons, ids = self.hold()
        self.redis.kill()
        self.away(daemons)
        self.redis.start()
        self.r = self.redis.client
        for d in daemons:
            d.wait("broker is back", 15)
        self.check_once(daemons, ids)

    def test_redis__restarted_under_load__loses_nothing(self):
        daemon = self.daemon("a", WORKER_CONCURRENCY=10)
        ids = self.enqueue_many(1000, "work", lambda i: b'{"seconds":0.01}')
        wait_for("200 have begun", lambda: len(self.starts()) >= 200)
        self.redis.kill()
        self.redis.start()
        self.r = self.redis.client
        self.wait_empty(seconds=60)
        self.assertEqual(daemon.stop(), 0, daemon.tail())
        starts = self.starts()
        self.assertEqual(set(starts), set(ids), "lost")
        self.assertEqual(set(starts.values()), {1},
                         "repeated though the holder lived")
        self.check_audit()

    def test_scripts__flushed_under_load__nobody_notices(self):
        daemon = self.daemon("a", WORKER_CONCURRENCY=10)
        ids = self.enqueue_many(500, "work", lambda i: b'{"seconds":0.01}')
        flushed = 0
        while self.r("LLEN", "asynq:{default}:pending"):
            self.r("SCRIPT", "FLUSH")
            flushed += 1
            time.sleep(0.01)
        self.assertGreater(flushed, 3)
        self.wait_empty()
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.starts(), {i: 1 for i in ids})
        self.assertEqual(daemon.find(level="error"), [])
        self.check_audit()

    def test_clients__killed_under_load__loses_nothing(self):
        daemon = self.daemon("a", WORKER_CONCURRENCY=10)
        ids = self.enqueue_many(500, "work", lambda i: b'{"seconds":0.01}')
        wait_for("100 have begun", lambda: len(self.starts()) >= 100)
        for _ in range(5):
            self.r("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.1)
        self.wait_empty(seconds=60)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.starts(), {i: 1 for i in ids})
        self.check_audit()

    def test_postgres__restarted_under_load__every_task_succeeds(self):
        self.write("handlers/work.lua", WORK.replace(
            "return function(task)", "return { backoff = '1s', run = function(task)"
        ).rstrip() + " }\n")
        daemon = self.daemon("a", WORKER_CONCURRENCY=10)
        ids = self.enqueue_many(600, "work", lambda i: b'{"seconds":0.01}')
        wait_for("100 have begun", lambda: len(self.starts()) >= 100)
        self.postgres.stop()
        line = daemon.wait("failed", type="work")
        self.assertRegex(line["error"], "database|connection|terminat|server")
        lines, begun = daemon.count(), time.monotonic()
        self.postgres.start()
        # A failed attempt a second and task at most: not a storm.
        self.assertLess((daemon.count() - lines) / (time.monotonic() - begun + 1), 700)
        self.wait_empty(seconds=90)
        ended = {r[0] for r in self.postgres.rows(
            "select distinct id from effects where phase = 'end'")}
        self.assertEqual(ended, set(ids), "lost")
        self.assertEqual(self.state()["archived"], [])
        self.assertEqual(daemon.stop(), 0)
        self.check_audit()


if __name__ == "__main__":
    unittest.main()
