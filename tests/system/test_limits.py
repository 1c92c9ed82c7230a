"""Time limits that hold, attempts that are counted, and a broker that accepts
no writes for a while."""

import signal
import time
import unittest

from harness import SLOW, World, best_of, wait_for

LOOPS = {
    "plain": "while true do end",
    "pcall": "while true do pcall(function() while true do end end) end",
    "coroutine": """
        while true do
          local co = coroutine.wrap(function() while true do end end)
          pcall(co)
        end""",
    "close": """
        local guard <close> = setmetatable({}, { __close = function()
          while true do end
        end })
        while true do end""",
    "sort": """
        while true do
          pcall(table.sort, { 3, 2, 1 }, function() while true do end end)
        end""",
    "gsub": """
        while true do
          pcall(string.gsub, "abc", ".", function() while true do end end)
        end""",
    "error": "while true do pcall(error, 'x') end",
}


class Limits(World):
    handlers = dict(
        {f"loop/{name}.lua": "return function(task)\n" + body + "\nend\n"
         for name, body in LOOPS.items()},
        **{
            "good.lua": "return function(task) end",
            "nap.lua": "return function(task) lunaq.sleep(60) end",
            "own.lua": """
                return { timeout = "1s", max_retry = 1, backoff = "1s",
                  run = function(task)
                    log.info("attempt", { n = task.attempt, of = task.max_retry })
                    lunaq.sleep(60)
                  end }
            """,
            "fail.lua": """
                return { backoff = { "1s", "2s" }, run = function(task)
                  log.info("attempt", { n = task.attempt })
                  error("on purpose")
                end }
            """,
        })

    def test_loops__each_ends_at_its_timeout__the_others_go_on(self):
        daemon = self.start(WORKER_CONCURRENCY=20, LUNAQ_WORKER_THREADS=1)
        loops = {name: self.enqueue("loop:" + name, timeout=2) for name in LOOPS}
        for task in loops.values():
            daemon.wait("start", task_id=task)
        begun, took = time.monotonic(), []
        while time.monotonic() - begun < 1.5:
            sent = time.monotonic()
            task = self.enqueue("good")
            took.append(daemon.wait("succeeded", task_id=task)["_at"] - sent)
        # Seven loops share the only thread, 10 ms each.
        self.assertLess(sorted(took)[len(took) // 2], 0.5 * SLOW, took)
        for name, task in loops.items():
            with self.subTest(name):
                self.wait_state("retry", task, seconds=10)
                self.assertRegex(self.error_of(task), "timeout|time")
        self.assertLess(time.monotonic() - begun, 15 * SLOW)
        self.check_audit()

    def test_sleep__ends_at_its_timeout(self):
        daemon = self.start()
        task = self.enqueue("nap", timeout=1)
        line = daemon.wait("start", task_id=task)
        ended = daemon.wait("failed", task_id=task)
        self.assertLess(ended["_at"] - line["_at"], 5 * SLOW)  # of 60
        self.wait_state("retry", task)
        self.assertRegex(self.error_of(task), "timeout|time")

    def test_term__with_a_loop__gives_it_back_and_exits_0(self):
        daemon = self.start(LUNAQ_SHUTDOWN_TIMEOUT="1s")
        task = self.enqueue("loop:pcall")
        daemon.wait("start", task_id=task)
        begun = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - begun, 15 * SLOW)  # for ever
        self.assertEqual(self.state()["pending"], [task])
        self.assertEqual(self.error_of(task), "")
        self.check_audit()

    def test_second_int__with_a_loop__ends_at_once(self):
        daemon = self.start(LUNAQ_SHUTDOWN_TIMEOUT="60s")
        task = self.enqueue("loop:plain")
        daemon.wait("start", task_id=task)
        daemon.signal(signal.SIGINT)
        daemon.wait("Ctrl-C again")
        begun = time.monotonic()
        daemon.signal(signal.SIGINT)
        self.assertEqual(daemon.exit_code(), 0)
        self.assertLess(time.monotonic() - begun, 15 * SLOW)  # of 60
        self.assertEqual(self.state()["pending"], [task])

    def test_asynqs_not_given__the_handler_files_values_count(self):
        daemon = self.start()
        task = self.enqueue("own")  # 1800 s, 25 retries: what Asynq writes
        self.wait_state("archived", task, seconds=20)
        self.assertEqual([l["n"] for l in daemon.find("attempt", task_id=task)
                          if "n" in l], [1, 2])

    def test_asynqs_not_given__with_trust_message__counts_as_given(self):
        daemon = self.start(LUNAQ_TRUST_MESSAGE="true")
        task = self.enqueue("own")
        daemon.wait("start", task_id=task)
        other = self.enqueue("own", timeout=2)
        daemon.wait("failed", task_id=other)
        self.assertFalse(daemon.find("failed", task_id=task))
        self.assertEqual(self.state()["active"], [task])

    def test_failure__is_retried_by_the_handlers_backoff_then_archived(self):
        daemon = self.start()
        task = self.enqueue("fail", retry=2)
        self.wait_state("archived", task, seconds=20)
        at = [l["_at"] for l in daemon.find("attempt", task_id=task) if "n" in l]
        self.assertEqual(len(at), 3)
        # Scores are whole seconds, rounded up.
        self.assertGreater(at[1] - at[0], 0.9)
        self.assertLess(at[1] - at[0], 6 * SLOW)
        self.assertGreater(at[2] - at[1], 1.9)
        self.assertLess(at[2] - at[1], 7 * SLOW)
        self.assertIn("on purpose", self.error_of(task))
        self.assertIn("fail.lua:4", self.error_of(task))
        self.assertEqual(self.r("GET", "asynq:{default}:failed"), b"3")
        self.check_audit()


class Query(World):
    database = True
    handlers = {"query.lua": "return function(task) db.query('select pg_sleep(60)') end"}

    def running(self):
        return int(self.postgres.value(
            "select count(*) from pg_stat_activity where state = 'active'"
            " and query like '%pg_sleep%' and pid <> pg_backend_pid()"))

    def test_timeout__cancels_the_statement(self):
        daemon = self.start()
        task = self.enqueue("query", timeout=1)
        wait_for("the statement runs", lambda: self.running() == 1)
        daemon.wait("failed", task_id=task)
        wait_for("the statement is gone", lambda: self.running() == 0, 2)

    def test_stop__cancels_the_statement(self):
        daemon = self.start(LUNAQ_SHUTDOWN_TIMEOUT="0")
        task = self.enqueue("query")
        wait_for("the statement runs", lambda: self.running() == 1)
        self.assertEqual(daemon.stop(), 0)
        wait_for("the statement is gone", lambda: self.running() == 0, 2)
        self.assertEqual(self.state()["pending"], [task])


class Full(World):
    """A Redis that takes no writes, or no more data."""

    handlers = {"good.lua": "return function(task) end",
                "nap.lua": "return function(task) lunaq.sleep(0.2) end"}

    def test_out_of_memory__what_is_there_is_drained(self):
        daemon = self.start(WORKER_CONCURRENCY=5)
        daemon.signal(signal.SIGTSTP)
        daemon.wait("quiet")
        ids = self.enqueue_many(200, "good")
        daemon.stop()
        self.r("CONFIG", "SET", "maxmemory", "1mb")
        self.addCleanup(self.r, "CONFIG", "SET", "maxmemory", "0")
        self.start(WORKER_CONCURRENCY=5)
        self.wait_empty(seconds=20)
        self.assertEqual(int(self.r("GET", "asynq:{default}:processed")), len(ids))
        self.check_audit()

    def test_no_writes_for_a_while__outcomes_are_kept_and_sent_again(self):
        daemon = self.start(WORKER_CONCURRENCY=10)
        ids = self.enqueue_many(50, "nap")
        wait_for("some run", lambda: len(self.state()["active"]) >= 5)
        self.r("CONFIG", "SET", "min-replicas-to-write", "1")
        self.addCleanup(self.r, "CONFIG", "SET", "min-replicas-to-write", "0")
        lines, cpu, begun = daemon.count(), daemon.cpu_seconds(), time.monotonic()
        wait_for("a while", lambda: time.monotonic() - begun > 4, 10, 0.2)
        refused = daemon.find(level="error", since=lines)
        self.assertTrue(refused, daemon.tail())
        self.assertLessEqual(len(refused), 40)
        self.assertIn("NOREPLICAS", str(refused))
        self.assertLess((daemon.cpu_seconds() - cpu) / 4, 0.1 * SLOW)
        self.r("CONFIG", "SET", "min-replicas-to-write", "0")
        self.wait_empty(seconds=30)
        self.assertEqual(int(self.r("GET", "asynq:{default}:processed")), len(ids))
        for task in ids:
            self.assertEqual(len(daemon.find("start", task_id=task)), 1)
        self.assertEqual(daemon.stop(), 0)
        self.check_audit()

    def test_replica_for_a_while__goes_on_when_it_is_a_primary_again(self):
        daemon = self.start(WORKER_CONCURRENCY=10)
        self.enqueue_many(20, "nap")
        wait_for("some run", lambda: len(self.state()["active"]) >= 5)
        self.r("REPLICAOF", "127.0.0.1", "1")
        self.addCleanup(self.r, "REPLICAOF", "NO", "ONE")
        self.r("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        daemon.wait("broker away", level="warn")
        wait_for("why is told",
                 lambda: "replica" in str(daemon.find(level="warn")))
        self.assertLessEqual(len(daemon.find("broker is back")), 2)
        self.r("REPLICAOF", "NO", "ONE")
        self.wait_empty(seconds=30)
        self.check_audit()
        # And it is woken again, not only by and by.
        def measure():
            took = []
            for _ in range(10):
                begun = time.monotonic()
                task = self.enqueue("good")
                took.append(daemon.wait("start", task_id=task)["_at"] - begun)
            return sorted(took)[5]

        best_of(5, 0.1, measure)
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
