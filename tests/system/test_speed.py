"""Waiting costs nothing and wakes at once.  Bounds are loose: the benches
measure, these catch polling and blocking."""

import time
import unittest

from harness import SLOW, World, best_of, message, wait_for


class Waiting(World):
    database = True
    handlers = {"sleep.lua":
                "return function(task) db.query('select pg_sleep(1)') end"}

    def test_200_handlers_in_pg_sleep__take_one_second_together(self):
        daemon = self.start(WORKER_CONCURRENCY=200, LUNAQ_DB_POOL=200,
                            LUNAQ_WORKER_THREADS=2)
        rounds = 0

        def measure():
            nonlocal rounds
            rounds += 1
            begun = time.monotonic()
            self.enqueue_many(200, "sleep")
            self.wait_empty(seconds=30)
            return time.monotonic() - begun

        measure()  # opens the connections
        best_of(4, 1.5, measure)
        self.assertEqual(int(self.r("GET", "asynq:{default}:processed")),
                         200 * rounds, daemon.tail())
        self.assertIsNone(self.r("GET", "asynq:{default}:failed"))


class Waking(World):
    handlers = {"nothing.lua": "return function(task) end"}

    def test_idle_queue__starts_within_100_ms_at_p99(self):
        daemon = self.start()
        medians = []

        def measure():
            took = []
            for _ in range(200):
                begun = time.monotonic()
                task = self.enqueue("nothing")
                took.append(daemon.wait("start", task_id=task)["_at"] - begun)
            took.sort()
            medians.append(took[100])
            return took[197]

        best_of(4, 0.1, measure)
        self.assertLess(min(medians), 0.02 * SLOW, "the median smells of polling")

    def test_idle_daemon__hardly_uses_the_cpu(self):
        daemon = self.start()
        self.enqueue("nothing")
        daemon.wait("succeeded")
        cpu, begun = daemon.cpu_seconds(), time.monotonic()
        wait_for("a while", lambda: time.monotonic() - begun > 5, 10, 0.2)
        self.assertLess((daemon.cpu_seconds() - cpu) / 5, 0.02 * SLOW)

    def test_scheduled_task__starts_on_its_second(self):
        daemon = self.start()
        q = "asynq:{default}:"

        def measure():
            due = int(time.time()) + 2
            task = f"later-{due}"
            self.r.pipeline([
                ("SADD", "asynq:queues", "default"),
                ("HSET", q + "t:" + task, "msg",
                 message("nothing", b"{}", task, "default"), "state", "scheduled"),
                ("ZADD", q + "scheduled", due, task)])
            daemon.wait("start", task_id=task)
            late = time.time() - due
            self.assertGreaterEqual(late, 0)
            return late

        best_of(3, 0.5, measure)


if __name__ == "__main__":
    unittest.main()
