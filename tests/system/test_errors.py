"""Errors that count and errors that do not, and types without a handler, on both
brokers."""

import unittest

from both import Both, on_both
from harness import wait_for


class IsFailure(Both):
    """Asynq's IsFailure: what is none uses no attempt and counts nowhere, but at
    the limit it is the end all the same."""

    handlers = {
        "busy.lua": """
            return { max_retry = 2,
              backoff = function(n, err) return err.kind == "busy" and 3600 or 1 end,
              run = function(task)
                log.info("run", { attempt = task.attempt })
                error({ kind = task.payload.kind, message = "no luck" })
              end,
              is_failure = function(err) return err.kind ~= "busy" end }
        """,
    }

    def test_not_a_failure__uses_no_attempt_and_counts_nowhere(self):
        daemon = self.start()
        task = self.enqueue("busy", "kind=busy", "--max-retry", "2")
        for times in range(1, 4):
            wait_for("the attempt is over", lambda: len(
                daemon.find("not a failure", task_id=task, attempt=1)) == times)
            row = self.wait_state("retry", task)
            self.assertEqual((row["retried"], row["max_retry"]), (0, 2))
            self.assertIn("no luck", row["error"])
            self.assertEqual(self.counters(), (0, 0))
            self.lunaq("task", "run", task)

    def test_failure__uses_one_and_counts(self):
        self.start()
        task = self.enqueue("busy", "kind=other")
        row = self.wait_state("archived", task)
        self.assertEqual(row["retried"], 2)
        self.assertEqual(self.counters(), (3, 3))

    def test_not_a_failure__at_the_limit__is_archived_and_counts(self):
        self.start()
        task = self.enqueue("busy", "kind=busy", "--max-retry", "0")
        row = self.wait_state("archived", task)
        self.assertEqual(row["retried"], 0)
        self.assertEqual(self.counters(), (1, 1))


class NotFound(Both):
    handlers = {
        "hello.lua": "return function(task) return 'hello' end",
        "url/_.lua": "return function(task) return task.type end",
    }

    def test_type_without_a_handler__is_retried_and_found_later(self):
        daemon = self.start()
        task = self.enqueue("email:welcome")
        row = self.wait_state("retry", task)
        self.assertEqual(row["error"], 'handler not found for task "email:welcome"')
        self.assertEqual(row["retried"], 1)
        self.assertEqual(self.counters(), (1, 1))
        self.write("handlers/e.lua",
                   "return { type = 'email:*', run = function(t) return t.type end }")
        daemon.wait("reload")
        self.lunaq("task", "run", task)
        daemon.wait("succeeded", task_id=task)

    def test_middleware__sees_it_and_changes_nothing(self):
        self.write("handlers/_middleware.lua", """
            return function(task, next)
              log.info("seen", { of = task.type })
              return next(task)
            end
        """)
        daemon = self.start()
        task = self.enqueue("email:welcome")
        row = self.wait_state("retry", task)
        self.assertTrue(row["error"].startswith(
            'handler not found for task "email:welcome"'))
        daemon.wait("seen", of="email:welcome")
        other = self.enqueue("url:x")
        daemon.wait("succeeded", task_id=other)
        daemon.wait("seen", of="url:x")


on_both(globals(), IsFailure, NotFound)

if __name__ == "__main__":
    unittest.main()
