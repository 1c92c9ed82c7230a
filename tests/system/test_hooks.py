"""Functions of a handler file beside run(), on both brokers."""

import unittest

from both import Both
from harness import wait_for

ON_ARCHIVE = """
      on_archive = function(task, err)
        log.warn("archived", { id = task.id, n = task.payload.n,
                               kind = err.kind, text = err.message })
        queue.enqueue("after", { of = task.id })
      end,
"""


class OnArchive(Both):
    handlers = {
        "fails.lua": """
            return { max_retry = 0, run = function() error("no luck") end,
        """ + ON_ARCHIVE + "}",
        "skips.lua": """
            return { run = function() return lunaq.skip_retry("no use") end,
        """ + ON_ARCHIVE + "}",
        "retries.lua": """
            return { run = function() error("again") end,
        """ + ON_ARCHIVE + "}",
        "naps.lua": """
            return { run = function(task)
              log.info("napping", { id = task.id })
              lunaq.sleep(60)
            end,
        """ + ON_ARCHIVE + "}",
        "faulty.lua": """
            return { max_retry = 0, run = function() error("no luck") end,
              on_archive = function() error("no mail either") end }
        """,
        "slow.lua": """
            return { max_retry = 0, run = function() error("no luck") end,
              on_archive = function()
                log.info("hook begins")
                lunaq.sleep(0.5)
                log.info("hook ends")
              end }
        """,
        "after.lua": """
            return function(task) log.info("after", { of = task.payload.of }) end
        """,
    }

    def test_last_failure__calls_it_with_task_and_error(self):
        daemon = self.start()
        task = self.enqueue("fails", "n:=7")
        line = daemon.wait("archived", id=task)
        self.assertEqual((line["n"], line["kind"]), (7, "error"))
        self.assertIn("fails.lua:2: no luck", line["text"])
        daemon.wait("after", of=task)  # it may enqueue
        self.assertEqual(self.show(task)["state"], "archived")

    def test_skip_retry__calls_it(self):
        daemon = self.start()
        task = self.enqueue("skips")
        line = daemon.wait("archived", id=task)
        self.assertEqual((line["kind"], line["text"]), ("skip_retry", "no use"))

    def test_cancel_of_a_run__calls_it_with_who_and_why(self):
        daemon = self.start()
        task = self.enqueue("naps")
        daemon.wait("napping", id=task)
        self.lunaq("task", "cancel", task, "--reason", "not needed")
        line = daemon.wait("archived", id=task)
        self.assertEqual(line["kind"], "canceled")
        self.assertIn("not needed", line["text"])

    def test_failure_with_attempts_left__does_not(self):
        daemon = self.start()
        task = self.enqueue("retries")
        self.wait_state("retry", task)
        other = self.enqueue("fails")
        daemon.wait("archived", id=other)
        self.assertEqual(daemon.find("archived", id=task), [])

    def test_archiving_by_hand__does_not(self):
        daemon = self.start()
        task = self.enqueue("retries")
        self.wait_state("retry", task)
        self.lunaq("task", "archive", task)
        other = self.enqueue("fails")
        daemon.wait("archived", id=other)
        self.assertEqual(daemon.find("archived", id=task), [])

    def test_hook_that_fails__is_logged_and_changes_nothing(self):
        daemon = self.start()
        task = self.enqueue("faulty")
        line = daemon.wait("on_archive failed", task_id=task)
        self.assertIn("no mail either", line["error"])
        row = self.show(task)
        self.assertEqual(row["state"], "archived")
        self.assertIn("no luck", row["error"])

    def test_many_at_once__are_all_told(self):
        daemon = self.start(WORKER_CONCURRENCY=50)
        self.write("handlers/many.lua", """
            return function()
              local tasks = {}
              for i = 1, 200 do tasks[i] = { type = "skips", payload = { n = i } } end
              queue.enqueue_many(tasks)
            end
        """)
        daemon.wait("reload")
        self.enqueue("many")
        wait_for("each was told", lambda: len(
            {line["n"] for line in daemon.find("archived") if "n" in line}) == 200, 30)

    def test_stop__waits_for_a_hook(self):
        daemon = self.start()
        self.enqueue("slow")
        daemon.wait("hook begins")
        self.assertEqual(daemon.stop(), 0)
        self.assertTrue(daemon.find("hook ends"))

    def test_poison__is_told_by_who_recovers_it(self):
        first = self.start(LUNAQ_LEASE="10s", LUNAQ_CRASH_LIMIT="1")
        task = self.enqueue("naps")
        first.wait("napping", id=task)
        second = self.start(LUNAQ_LEASE="10s", LUNAQ_CRASH_LIMIT="1")
        first.kill()
        line = second.wait("archived", seconds=40, id=task)
        self.assertEqual(line["kind"], "crash")
        self.assertIn("vanished", line["text"])
        self.assertEqual(second.stop(), 0)


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


class IsFailureRedis(IsFailure, unittest.TestCase):
    broker = "redis"


class IsFailureSqlite(IsFailure, unittest.TestCase):
    broker = "sqlite"


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


class NotFoundRedis(NotFound, unittest.TestCase):
    broker = "redis"


class NotFoundSqlite(NotFound, unittest.TestCase):
    broker = "sqlite"


class OnArchiveRedis(OnArchive, unittest.TestCase):
    broker = "redis"


class OnArchiveSqlite(OnArchive, unittest.TestCase):
    broker = "sqlite"


if __name__ == "__main__":
    unittest.main()
