"""Waiting costs nothing and wakes at once.  Bounds are loose: the benches
measure, these catch polling and blocking."""

import time
import unittest

from harness import SLOW, World, wait_for


class Waiting(World):
    database = True
    handlers = {"sleep.lua":
                "return function(task) db.query('select pg_sleep(1)') end"}

    def test_200_handlers_in_pg_sleep__take_one_second_together(self):
        daemon = self.start(WORKER_CONCURRENCY=200, LUNAQ_DB_POOL=200,
                            LUNAQ_WORKER_THREADS=2)
        for last in (False, True):  # the first round opens the connections
            begun = time.monotonic()
            self.enqueue_many(200, "sleep")
            self.wait_empty(seconds=30)
            took = time.monotonic() - begun
        self.assertEqual(int(self.r("GET", "asynq:{default}:processed")), 400,
                         daemon.tail())
        self.assertIsNone(self.r("GET", "asynq:{default}:failed"))
        self.assertLess(took, 1.5 if SLOW == 1 else 2.5)
        self.assertTrue(last)


class Waking(World):
    handlers = {"nothing.lua": "return function(task) end"}

    def test_idle_queue__starts_within_100_ms_at_p99(self):
        daemon = self.start()
        took = []
        for _ in range(200):
            begun = time.monotonic()
            task = self.enqueue("nothing")
            took.append(daemon.wait("start", task_id=task)["_at"] - begun)
        took.sort()
        self.assertLess(took[197], 0.1 * SLOW, took[-5:])
        self.assertLess(took[100], 0.02 * SLOW, "the median smells of polling")

    def test_idle_daemon__hardly_uses_the_cpu(self):
        daemon = self.start()
        self.enqueue("nothing")
        daemon.wait("succeeded")
        cpu, begun = daemon.cpu_seconds(), time.monotonic()
        wait_for("a while", lambda: time.monotonic() - begun > 5, 10, 0.2)
        self.assertLess((daemon.cpu_seconds() - cpu) / 5, 0.02 * SLOW)

    def test_scheduled_task__starts_on_its_second(self):
        daemon = self.start()
        due = int(time.time()) + 2
        q = "asynq:{default}:"
        from harness import message
        self.r.pipeline([
            ("SADD", "asynq:queues", "default"),
            ("HSET", q + "t:later", "msg", message("nothing", b"{}", "later", "default"),
             "state", "scheduled"),
            ("ZADD", q + "scheduled", due, "later")])
        daemon.wait("start", task_id="later")
        late = time.time() - due
        self.assertGreaterEqual(late, 0)
        self.assertLess(late, 0.5 * SLOW)


if __name__ == "__main__":
    unittest.main()
