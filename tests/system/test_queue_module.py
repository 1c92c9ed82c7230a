"""What handlers ask of their queues, on both brokers: enqueue with every option,
cancel, info, pause."""

import json
import time
import unittest

from both import DO, Doing, on_both
from harness import wait_for


class Enqueue(Doing):
    handlers = {
        "do.lua": DO,
        "plain.lua": "return function() end",
        "with/defaults.lua": """
            return { queue = "idle", max_retry = 7, timeout = "90s",
                     retention = "2h", unique = { ttl = "1h", by = { "user" } },
                     run = function() end }
        """,
        "headers.lua": """
            return function(task) log.info("headers", task.headers) end
        """,
    }

    def test_options__all__arrive(self):
        daemon = self.start()
        before = int(time.time())
        task = self.do(daemon, """
            return queue.enqueue("plain", { n = 1 }, { queue = "idle",
              max_retry = 3, timeout = "90s", deadline = os.time() + 3600,
              retention = "1h", task_id = "mine", process_in = "5m",
              headers = { k = "v", other = "w" }, unique = "10m" })""")
        self.assertEqual(task, "mine")
        row = self.show("mine")
        self.assertEqual(
            (row["type"], row["queue"], row["state"], row["payload"]),
            ("plain", "idle", "scheduled", '{"n":1}'))
        self.assertEqual(
            (row["max_retry"], row["timeout_ms"], row["retention_ms"]),
            (3, 90000, 3600000))
        self.assertEqual(row["headers"], {"k": "v", "other": "w"})
        self.assertAlmostEqual(row["deadline_at"] / 1000, before + 3600, delta=60)
        self.assertAlmostEqual(row["next_at"] / 1000, before + 300, delta=60)

    def test_durable__a_level_that_is_reached_or_a_reason(self):
        daemon = self.start()
        for level in ("none", "fsync") if self.broker == "sqlite" else ("none",):
            task = self.do(daemon, f"""
                return queue.enqueue("plain", nil,
                  {{ queue = "idle", durable = "{level}" }})""")
            self.assertEqual(self.show(task)["state"], "pending")
        kind, message = self.do(daemon, """
            local id, err = queue.try_enqueue("plain", nil,
              { queue = "idle", task_id = "sure", durable = "replica" })
            return { err.kind, err.message }""")
        if self.broker == "sqlite":
            self.assertIn("no replicas", message)
        else:  # it is there, though nobody else has it
            self.assertEqual(kind, "unknown")
            self.assertIn("no replica had it", message)
            self.assertEqual(self.show("sure")["state"], "pending")
        answers = self.do(daemon, """
            local list = queue.enqueue_many{
              { type = "plain", queue = "idle", durable = "replica" },
              { type = "plain", queue = "idle" } }
            return { list[1].error or "", list[2].id or "" }""")
        self.assertIn("replica", answers[0])
        self.assertTrue(answers[1])
        wrong = self.do(daemon, """
            local ok, err = pcall(queue.enqueue, "plain", nil, { durable = "disk" })
            return tostring(err)""")
        self.assertIn("give none, replica or fsync", wrong)

    def test_process_at__is_an_instant(self):
        daemon = self.start()
        at = int(time.time()) + 1000
        task = self.do(daemon, f'return queue.enqueue("plain", nil, {{ process_at = {at} }})')
        self.assertEqual(self.show(task)["next_at"], at * 1000)

    def test_group__waits_in_it(self):
        daemon = self.start()
        task = self.do(daemon, 'return queue.enqueue("plain", nil, '
                               '{ queue = "idle", group = "g" })')
        row = self.show(task)
        self.assertEqual((row["state"], row["group"]), ("aggregating", "g"))

    def test_defaults__come_from_the_handler_file_and_the_call_wins(self):
        daemon = self.start()
        row = self.show(self.do(
            daemon, 'return queue.enqueue("with:defaults", { user = 1 })'))
        self.assertEqual(
            (row["queue"], row["max_retry"], row["timeout_ms"], row["retention_ms"]),
            ("idle", 7, 90000, 7200000))
        row = self.show(self.do(
            daemon, 'return queue.enqueue("with:defaults", { user = 2 }, '
                    '{ queue = "other", max_retry = 0, timeout = 5, retention = 0 })'))
        self.assertEqual(
            (row["queue"], row["max_retry"], row["timeout_ms"], row["retention_ms"]),
            ("other", 0, 5000, 0))

    def test_command_line__follows_the_handler_file_of_a_live_daemon(self):
        self.write("handlers/locked.lua", """
            return { queue = "idle", unique = "1h", run = function() end }
        """)
        self.write("handlers/any/_.lua", """
            return { queue = "idle", max_retry = 0, run = function() end }
        """)
        self.start()
        wait_for("the daemon tells its handlers", lambda: json.loads(
            self.lunaq("handlers", "--json")))
        row = self.show(self.enqueue("with:defaults", "user:=1"))
        self.assertEqual(
            (row["queue"], row["max_retry"], row["timeout_ms"], row["retention_ms"]),
            ("idle", 7, 90000, 7200000))
        row = self.show(self.enqueue(
            "with:defaults", "--queue", "other", "--max-retry", "1", "--timeout", "5s",
            "--retention", "0"))
        self.assertEqual(
            (row["queue"], row["max_retry"], row["timeout_ms"], row["retention_ms"]),
            ("other", 1, 5000, 0))
        row = self.show(self.enqueue("any:thing"))
        self.assertEqual((row["queue"], row["max_retry"]), ("idle", 0))
        self.enqueue("locked")
        self.assertIn("unique key", self.lunaq("enqueue", "locked", code=1))

    def test_duplicate_and_conflict__are_errors_of_their_own(self):
        daemon = self.start()
        self.assertEqual(self.do(daemon, """
            local out = {}
            local function try(payload, options)
              local id, err = queue.try_enqueue("plain", payload, options)
              out[#out + 1] = id and "ok" or err.kind
            end
            try({ a = 1 }, { queue = "idle", unique = "1h" })
            try({ a = 1 }, { queue = "idle", unique = "1h" })
            try({ a = 2 }, { queue = "idle", unique = "1h" })
            try({ a = 1 }, { queue = "other", unique = "1h" })
            try({ a = 1 }, { queue = "idle" })
            try({}, { queue = "idle", task_id = "one" })
            try({}, { queue = "idle", task_id = "one" })
            return out"""),
            ["ok", "duplicate", "ok", "ok", "ok", "ok", "conflict"])
        self.assertIn("kind", self.do(daemon, """
            local ok, err = pcall(queue.enqueue, "plain", {}, { queue = "idle",
              task_id = "one" })
            return { kind = err.kind, text = tostring(err) }"""))

    def test_unique_by__locks_on_members_of_the_payload(self):
        daemon = self.start()
        self.assertEqual(self.do(daemon, """
            local out = {}
            for _, payload in ipairs{ { user = 1, at = 1 }, { user = 1, at = 2 },
                                      { user = 2, at = 1 } } do
              local id, err = queue.try_enqueue("with:defaults", payload)
              out[#out + 1] = id and "ok" or err.kind
            end
            return out"""), ["ok", "duplicate", "ok"])

    def test_enqueue_many__answers_for_each(self):
        daemon = self.start()
        rows, failed = self.do(daemon, """
            return { queue.enqueue_many{
              { type = "plain", queue = "idle", task_id = "a" },
              { type = "plain", queue = "idle", task_id = "a" },
              { type = "plain", queue = "idle", unique = "1h" },
              { type = "plain", queue = "idle", unique = "1h" },
              { type = "plain", queue = "idle", payload = { n = 5 } },
            } }""")
        self.assertEqual([r.get("kind") for r in rows],
                         [None, "conflict", None, "duplicate", None])
        self.assertEqual(rows[0]["id"], "a")
        self.assertTrue(all(bool(r.get("id")) != bool(r.get("error")) for r in rows))
        self.assertEqual(failed, 2)
        self.assertEqual(self.show(rows[4]["id"])["payload"], '{"n":5}')

    def test_headers__reach_the_handler(self):
        daemon = self.start()
        self.do(daemon, 'return queue.enqueue("headers", nil, '
                        '{ headers = { trace = "abc", lang = "pt" } })')
        line = daemon.wait("headers", trace="abc")
        self.assertEqual(line["lang"], "pt")


class Control(Doing):
    handlers = {
        "do.lua": DO,
        "nap.lua": "return function(t) log.info('napping', { of = t.id }) "
                   "lunaq.sleep(60) end",
    }

    def test_cancel__of_a_waiting_task__archives_it(self):
        daemon = self.start()
        self.assertEqual(self.do(daemon, """
            local id = queue.enqueue("nap", nil, { queue = "idle", task_id = "w" })
            return queue.cancel(id, { reason = "not needed" })"""), "pending")
        row = self.show("w")
        self.assertEqual(row["state"], "archived")
        self.assertIn("not needed", row["error"])

    def test_cancel__of_a_run__ends_it(self):
        daemon = self.start()
        task = self.enqueue("nap")
        daemon.wait("napping", of=task)
        self.assertEqual(self.do(daemon, f'return queue.cancel("{task}")'), "active")
        row = self.wait_state("archived", task)
        self.assertIn("by do", row["error"])

    def test_cancel__of_the_attempt_alone__is_a_failure(self):
        daemon = self.start()
        task = self.enqueue("nap")
        daemon.wait("napping", of=task)
        self.assertEqual(self.do(
            daemon, f'return queue.cancel("{task}", {{ retry = true }})'), "active")
        row = self.wait_state("retry", task)
        self.assertEqual(row["retried"], 1)

    def test_cancel__of_what_is_not_there__is_an_error(self):
        daemon = self.start()
        self.assertEqual(self.do(daemon, """
            local _, err = queue.try_cancel("nothing")
            return err.kind"""), "not_found")

    def test_by_hand__what_waits_is_moved_and_updated(self):
        daemon = self.start()
        self.assertEqual(self.do(daemon, """
            local o = { queue = "idle", process_in = 3600 }
            for _, id in ipairs({ "one-by-hand", "two-by-hand" }) do
              o.task_id = id
              queue.enqueue("nap", { n = 1 }, o)
            end
            queue.update("one-by-hand", { n = 2 })
            queue.archive("one-by-hand", { queue = "idle" })
            queue.run("one-by-hand")
            queue.delete("two-by-hand")
            local _, err = queue.try_update("two-by-hand", {})
            return err.kind"""), "not_found")
        row = self.show("one-by-hand")
        self.assertEqual((row["state"], row["payload"]), ("pending", '{"n":2}'))
        self.lunaq("task", "show", "two-by-hand", code=1)

    def test_update__of_what_runs__is_refused(self):
        daemon = self.start()
        task = self.enqueue("nap")
        daemon.wait("napping", of=task)
        self.assertEqual(self.do(daemon, f"""
            local _, err = queue.try_update("{task}", {{}})
            return err.kind"""), "state")

    def test_info__counts(self):
        daemon = self.start()
        info = self.do(daemon, """
            queue.enqueue("nap", nil, { queue = "idle" })
            queue.enqueue("nap", nil, { queue = "idle", process_in = 60 })
            return queue.info("idle")""")
        self.assertEqual((info["name"], info["pending"], info["scheduled"],
                          info["paused"]), ("idle", 1, 1, False))

    def test_pause_and_resume__tell_whether_they_changed_anything(self):
        daemon = self.start()
        self.assertEqual(self.do(daemon, """
            queue.enqueue("nap", nil, { queue = "idle" })
            return { queue.pause("idle"), queue.pause("idle"),
                     queue.info("idle").paused,
                     queue.resume("idle"), queue.resume("idle"),
                     queue.info("idle").paused }"""),
            [True, False, True, True, False, False])


on_both(globals(), Enqueue, Control)

if __name__ == "__main__":
    unittest.main()
