"""Looking after what runs, on both brokers: orders from afar, cancels, and a
broker that is looked over while it works."""

import json
import time
import unittest

from both import Both
from harness import SLOW, wait_for

NAP = """
    return function(task)
      log.info("napping", { id = task.id, attempt = task.attempt })
      lunaq.sleep(task.payload.seconds or 60)
    end
"""


class Control(Both):
    handlers = {"nap.lua": NAP, "hello.lua": "return function() end",
                "patient.lua": """
                    return { backoff = { "2h" }, run = function(task)
                      log.info("napping", { id = task.id })
                      lunaq.sleep(60)
                    end }
                """}

    def servers(self):
        return json.loads(self.lunaq("server", "ls", "--json"))

    def one_server(self):
        return wait_for("a server is listed", self.servers)[0]

    def status(self, server):
        return next((s["status"] for s in self.servers() if s["id"] == server), None)

    # ---- orders from afar

    def test_stop__drains_and_exits_0(self):
        daemon = self.start()
        server = self.one_server()
        self.assertTrue(server["lunaq"] and server["remote_control"])
        task = self.enqueue("nap", "seconds:=1")
        daemon.wait("napping", id=task)
        began = time.monotonic()
        self.assertIn("told to stop", self.lunaq("server", "stop", server["id"][-8:]))
        line = daemon.wait("told from afar to stop")
        self.assertLess(time.monotonic() - began, 4 * SLOW)  # a heartbeat is 5 s
        self.assertIn("@", line["who"])
        self.assertEqual(daemon.exit_code(), 0)
        daemon.wait("succeeded", task_id=task)  # it was waited for
        self.assertEqual(self.servers(), [])
        self.assertIn("clean", self.lunaq("fsck"))

    def test_quiet__takes_no_more_and_what_runs_goes_on(self):
        daemon = self.start()
        server = self.one_server()["id"]
        first = self.enqueue("nap", "seconds:=5")
        daemon.wait("napping", id=first)
        self.lunaq("server", "quiet", server)
        daemon.wait("told from afar to take no more tasks")
        wait_for("it says so", lambda: self.status(server) == "stopped", 10, 0.1)
        shown = self.lunaq("server", "show", server[:8])  # told when it changed
        self.assertIn("1 of 10", shown)
        self.assertIn(first, shown)
        second = self.enqueue("hello")
        daemon.wait("succeeded", task_id=first)
        self.assertEqual(self.show(second)["state"], "pending")
        self.assertEqual(daemon.stop(), 0)

    def test_all__two_servers__both_stop(self):
        daemons = [self.start(), self.start()]
        wait_for("both are listed", lambda: len(self.servers()) == 2, 10, 0.1)
        out = self.lunaq("server", "stop", "--all")
        self.assertEqual(out.count("told to stop"), 2)
        self.assertEqual([d.exit_code() for d in daemons], [0, 0])

    def test_refused__says_how_and_goes_on(self):
        self.start(LUNAQ_REMOTE_CONTROL="false")
        server = self.one_server()
        self.assertFalse(server["remote_control"])
        self.assertIn("remote_control = false",
                      self.lunaq("server", "stop", server["id"], code=1))
        task = self.enqueue("hello", "--retention", "1h")
        self.wait_state("completed", task)

    def test_unknown__is_an_error(self):
        self.start()
        self.one_server()
        self.assertIn("no server", self.lunaq("server", "stop", "0123456789", code=1))

    # ---- cancels

    def test_cancel__running__archived_with_the_reason(self):
        daemon = self.start()
        task = self.enqueue("nap")
        daemon.wait("napping", id=task)
        self.lunaq("task", "cancel", task, "--reason", "wrong customer")
        row = self.wait_state("archived", task)
        self.assertEqual(row["error"], "wrong customer")

    def test_cancel_retry__running__counts_and_runs_again(self):
        daemon = self.start()
        task = self.enqueue("nap", "--max-retry", "3")
        daemon.wait("napping", id=task)
        self.lunaq("task", "cancel", "--retry", task)
        row = self.wait_state("retry", task)
        self.assertEqual(row["retried"], 1)
        self.lunaq("task", "run", task)
        daemon.wait("napping", id=task, attempt=2)

    def test_cancel_retry__waits_by_the_handlers_backoff(self):
        daemon = self.start()
        task = self.enqueue("patient")
        daemon.wait("napping", id=task)
        self.lunaq("task", "cancel", "--retry", task)
        row = self.wait_state("retry", task)
        self.assertAlmostEqual(row["next_at"] / 1000 - time.time(), 7200, delta=60 * SLOW)

    def test_cancel_delete__running__is_gone(self):
        daemon = self.start()
        task = self.enqueue("nap")
        daemon.wait("napping", id=task)
        self.assertIn("deleted", self.lunaq("task", "cancel", "--delete", task))
        self.assertIn("no task", self.lunaq("task", "show", task, code=1))

    def test_update__of_a_scheduled_task__is_what_runs(self):
        daemon = self.start()
        task = self.enqueue("nap", "--process-in", "1h")
        self.lunaq("task", "update", task, "seconds:=0")
        self.lunaq("task", "run", task)
        daemon.wait("succeeded", task_id=task)

    # ---- fsck under load

    def test_fsck__while_tasks_run__finds_nothing_false(self):
        self.start(WORKER_CONCURRENCY=20)
        for n in range(3):
            for _ in range(25):
                self.enqueue("nap", "seconds:=0.02", "--queue", ("default", "low")[n % 2])
            report = json.loads(self.lunaq("fsck", "--repair", "--json"))
            self.assertEqual(report["faults"], [])


class OnRedis(Control, unittest.TestCase):
    broker = "redis"

    # It takes as long as a lease; what each broker does about it is tested there.
    def test_cancel__then_the_holder_is_killed__archived_by_the_next(self):
        daemon = self.start(LUNAQ_LEASE="10s")
        task = self.enqueue("nap")
        daemon.wait("napping", id=task)
        daemon.signal(19)  # STOP: it cannot hear of it
        self.lunaq("task", "cancel", task, "--reason", "too late")
        daemon.kill()
        self.start(LUNAQ_LEASE="10s")
        row = self.wait_state("archived", task, 40)
        self.assertEqual(row["error"], "too late")


class OnSqlite(Control, unittest.TestCase):
    broker = "sqlite"


del Control

if __name__ == "__main__":
    unittest.main()
