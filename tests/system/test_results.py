"""What a run leaves, on both brokers: results, and verdicts with what they count."""

import json
import time
import unittest

from both import DO, Both, Doing, on_both
from harness import wait_for


class Results(Doing):
    handlers = {
        "early.lua": """
            return { retention = "1h", backoff = "1h", run = function(task)
              task:result({ half = task.attempt })
              log.info("half way", { of = task.id })
              lunaq.sleep(task.payload.seconds)
              if task.attempt == 1 and task.payload.fail then error("again") end
              return task.payload.last
            end }
        """,
        "do.lua": DO,
    }

    def early(self, daemon, payload, retention="1h"):
        return self.do(daemon, f'return queue.enqueue("early", {payload}, '
                               f'{{ retention = "{retention}" }})')

    def test_result__is_readable_while_the_run_goes_on(self):
        daemon = self.start()
        task = self.early(daemon, "{ seconds = 20 }")
        daemon.wait("half way", of=task)
        row = wait_for("the result is there", lambda: self.show(task)
                       if self.show(task)["result"] else None)
        self.assertEqual((row["state"], row["result"]), ("active", '{"half":1}'))

    def test_result_of_the_end__replaces_the_earlier_one(self):
        daemon = self.start()
        task = self.early(daemon, '{ seconds = 0, last = "whole" }')
        row = self.wait_state("completed", task)
        self.assertEqual((row["result"], row["retention_ms"]), ("whole", 3600000))

    def test_end_without_a_result__keeps_the_earlier_one(self):
        daemon = self.start()
        task = self.early(daemon, "{ seconds = 0 }")
        row = self.wait_state("completed", task)
        self.assertEqual(row["result"], '{"half":1}')

    def test_result_of_a_later_attempt__replaces(self):
        daemon = self.start()
        task = self.early(daemon, "{ seconds = 0, fail = true }")
        row = self.wait_state("retry", task)
        self.assertEqual(row["result"], '{"half":1}')
        self.lunaq("task", "run", task)
        row = self.wait_state("completed", task)
        self.assertEqual(row["result"], '{"half":2}')

    def test_completed_task__goes_when_its_retention_ends(self):
        if self.broker == "redis":
            self.skipTest("waits for the janitor: once is enough, its suite has both")
        daemon = self.start()
        task = self.early(daemon, "{ seconds = 0 }", "2s")
        daemon.wait("succeeded", task_id=task)
        wait_for("it is settled", lambda: self.counters() == (2, 0))
        wait_for("it is gone", lambda: json.loads(self.lunaq(
            "task", "ls", "--json", "--state", "completed")) == [], 30, 0.2)
        self.assertIn("no task", self.lunaq("task", "show", task, code=1))


class Verdicts(Both):
    handlers = {
        "skip.lua": "return function() return lunaq.skip_retry('no use') end",
        "discard.lua": "return { retention = '1h', run = function() return "
                       "lunaq.discard('not wanted') end }",
        "snooze.lua": "return function() return lunaq.snooze('1h', 'later') end",
        "after.lua": "return function() return lunaq.retry_after('1h', 'busy') end",
        "last.lua": "return { max_retry = 0, run = function() return "
                    "lunaq.retry_after('1h', 'busy') end }",
    }

    def check(self, kind, state, retried, counters, *options):
        self.start()
        before = time.time()
        task = self.enqueue(kind, *options)
        row = self.wait_state(state, task)
        self.assertEqual(row["retried"], retried)
        self.assertEqual(self.counters(), counters)
        if state in ("scheduled", "retry"):
            self.assertAlmostEqual(row["next_at"] / 1000, before + 3600, delta=60)
        return row

    def test_skip_retry__archives_and_counts_as_failed(self):
        row = self.check("skip", "archived", 0, (1, 1))
        self.assertEqual(row["error"], "no use")

    def test_snooze__uses_no_attempt_and_counts_nowhere(self):
        self.check("snooze", "scheduled", 0, (0, 0))

    def test_retry_after__uses_an_attempt_and_counts_as_failed(self):
        row = self.check("after", "retry", 1, (1, 1))
        self.assertEqual(row["error"], "busy")

    def test_retry_after__of_the_last_attempt__archives(self):
        self.check("last", "archived", 0, (1, 1), "--max-retry", "0")

    def test_discard__drops_it_and_counts_as_processed(self):
        daemon = self.start()
        task = self.enqueue("discard", "--retention", "1h")
        daemon.wait("discarded", task_id=task)
        wait_for("it is counted", lambda: self.counters() == (1, 0))
        self.assertIn(task, self.lunaq("task", "show", task, code=1))

    def test_discard__frees_its_unique_key(self):
        daemon = self.start()
        for _ in range(2):
            task = self.enqueue("discard", "--unique", "1h")
            daemon.wait("discarded", task_id=task)
            wait_for("it is gone", lambda: self.counters()[0])


on_both(globals(), Results, Verdicts)

if __name__ == "__main__":
    unittest.main()
