"""on_archive, the function of a handler file that hears of given-up tasks, on
both brokers."""

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

    def test_cancel_while_it_waits__calls_it_once(self):
        daemon = self.start()
        task = self.enqueue("skips", "--process-in", "1h", "n:=3")
        self.lunaq("task", "cancel", task)
        line = daemon.wait("archived", id=task)
        self.assertEqual((line["n"], line["kind"]), (3, "canceled"))
        daemon.wait("after", of=task)
        self.assertEqual(len(daemon.find("archived", id=task)), 1)

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


class OnArchiveRedis(OnArchive, unittest.TestCase):
    broker = "redis"

    # A lease long; what a queue file says of ended leases its suite tests.
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


class OnArchiveSqlite(OnArchive, unittest.TestCase):
    broker = "sqlite"


if __name__ == "__main__":
    unittest.main()
