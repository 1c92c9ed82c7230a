"""Which queue is next, and how many tasks run at once."""

import time
import unittest

from harness import World, wait_for
from test_crash import SCHEMA

NOTHING = "return function(task) end"
LENGTHS = """
    local out = {}
    for i, key in ipairs(KEYS) do out[i] = redis.call('LLEN', key) end
    return out"""


class Queues(World):
    handlers = {"nothing.lua": NOTHING, "nap.lua":
                "return function(task) lunaq.sleep(task.payload.seconds) end"}
    names = ("critical", "default", "low")

    def lengths(self, what="pending"):
        return self.r("EVAL", LENGTHS, 3, *(f"asynq:{{{q}}}:{what}" for q in self.names))

    def test_weights__share_10000_tasks_within_10_percent(self):
        each = 10000
        for queue in self.names:
            self.enqueue_many(each, "nothing", queue=queue)
        self.start(LUNAQ_LOG_LEVEL="info", WORKER_CONCURRENCY=10)
        taken = wait_for("10000 tasks are taken", lambda: (
            lambda t: sum(t) >= 10000 and t)([each - n for n in self.lengths()]),
            60, 0.001)
        self.assertLess(max(taken), each, "a queue ran empty before it was measured")
        for queue, weight, count in zip(self.names, (6, 3, 1), taken):
            share = weight / 10
            self.assertAlmostEqual(count / sum(taken), share, delta=share * 0.1,
                                   msg=f"{queue}: {taken}")

    def test_strict__a_lower_queue_waits_for_the_higher(self):
        each = 300
        for queue in self.names:
            self.enqueue_many(each, "nap", lambda i: b'{"seconds":0.01}', queue=queue)
        self.start(LUNAQ_STRICT="true", WORKER_CONCURRENCY=5)
        seen = set()
        while True:
            critical, default, low = self.lengths()
            if critical:
                self.assertEqual((default, low), (each, each))
                seen.add("critical")
            elif default:
                self.assertEqual(low, each)
                seen.add("default")
            if not critical and not default and not low:
                break
        self.assertEqual(seen, {"critical", "default"}, "too fast to be seen")

    def test_paused_queue__is_left_alone_until_it_is_resumed(self):
        daemon = self.start()
        self.r("SET", "asynq:{default}:paused", int(time.time()))
        time.sleep(1.5)  # by then every part has heard of it
        held = self.enqueue("nothing")
        other = self.enqueue("nothing", queue="critical")
        daemon.wait("succeeded", task_id=other)
        second = self.enqueue("nothing", queue="low")
        daemon.wait("succeeded", task_id=second)
        self.assertEqual(self.state()["pending"], [held])
        self.r("DEL", "asynq:{default}:paused")
        daemon.wait("succeeded", task_id=held)

    def test_unserved_queue__is_left_alone(self):
        daemon = self.start(LUNAQ_QUEUES="critical=2,default=1")
        waiting = self.enqueue("nothing", queue="ai")
        task = self.enqueue("nothing")
        daemon.wait("succeeded", task_id=task)
        self.assertEqual(self.state("ai")["pending"], [waiting])


class Concurrency(World):
    database = True
    schema = SCHEMA
    handlers = {"work.lua": """
        return function(task)
          local began = db.value("select extract(epoch from clock_timestamp())")
          lunaq.sleep(task.payload.seconds)
          db.exec([[insert into effects (id, attempt, phase, tag)
                    values ($1, $2, 'run', $3 || ' ' ||
                            extract(epoch from clock_timestamp()))]],
                  task.id, task.attempt, began)
        end
    """}

    def most_at_once(self):
        """The most runs that overlapped, from what the handlers wrote."""
        events = []
        for (tag,) in self.postgres.rows("select tag from effects"):
            began, ended = tag.split()
            events += [(float(began), 1), (float(ended), -1)]
        most = now = 0
        for _, change in sorted(events):
            now += change
            most = max(most, now)
        return most

    def check_exact(self, concurrency, threads):
        self.start(WORKER_CONCURRENCY=concurrency, LUNAQ_WORKER_THREADS=threads,
                   LUNAQ_DB_POOL=concurrency)
        self.enqueue_many(concurrency * 6, "work", lambda i: b'{"seconds":0.3}')
        most = 0
        while self.r("LLEN", "asynq:{default}:pending"):
            most = max(most, self.r("LLEN", "asynq:{default}:active"))
        self.wait_empty()
        # One may have come with a wake-up for a slot that a step has filled
        # meanwhile: it goes back and is not begun.
        self.assertGreaterEqual(most, concurrency, "in the broker")
        self.assertLessEqual(most, concurrency + 1, "in the broker")
        self.assertEqual(self.most_at_once(), concurrency, "in the handlers")

    def test_concurrency__7_on_3_threads__is_held_exactly(self):
        self.check_exact(7, 3)

    def test_concurrency__1__is_one_at_a_time(self):
        self.check_exact(1, 1)

    def test_concurrency__50_on_4_threads__is_held_exactly(self):
        self.check_exact(50, 4)


if __name__ == "__main__":
    unittest.main()
