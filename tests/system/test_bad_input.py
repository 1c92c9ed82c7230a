"""What others write into Redis, and what handlers raise, harms nobody else and
ends in a message that a person can act on."""

import time
import unittest

from harness import World, decode, wait_for

RAISE = r"""
    local errors = {
      table = function() error({ code = 7 }) end,
      none = function() error(nil) end,
      number = function() error(42) end,
      boolean = function() error(true) end,
      fn = function() error(print or function() end) end,
      tostring = function()
        error(setmetatable({}, { __tostring = function() error("again") end }))
      end,
      notext = function()
        error(setmetatable({}, { __tostring = function() return 7 end }))
      end,
      index = function() local t = nil; return t.user end,
      long = function() error(("x"):rep(1000000)) end,
      bytes = function() error("bad \xff\x00 bytes") end,
      pair = function() end,
    }
    return function(task)
      if task.payload.how == "pair" then return nil, "as a pair" end
      errors[task.payload.how]()
    end
"""


class Bad(World):
    handlers = {
        "good.lua": "return function(task) end",
        "raise.lua": RAISE,
        "strict.lua": """
            return {
              args = { session_id = "string" },
              run = function(task) log.info("ran", { id = task.payload.session_id }) end,
            }
        """,
        "lazy.lua": """
            return function(task) log.info("raw", { length = #task.raw }) end
        """,
    }

    def setUp(self):
        super().setUp()
        self.daemon = self.start()

    def check_alive(self, queue="default"):
        task = self.enqueue("good", queue=queue)
        self.daemon.wait("succeeded", task_id=task)

    def test_unknown_type__waits_for_a_retry_with_a_message(self):
        task = self.enqueue("nobody:knows")
        self.wait_state("retry", task)
        self.assertIn('handler not found for task "nobody:knows"', self.error_of(task))
        self.check_alive()
        self.check_audit()

    def test_payload__not_json__is_archived_without_retry(self):
        task = self.enqueue("strict", b'{"session_id": ')
        self.wait_state("archived", task)
        self.assertRegex(self.error_of(task), "payload|JSON")
        self.check_alive()
        self.check_audit()

    def test_payload__argument_of_another_type__is_archived_and_named(self):
        task = self.enqueue("strict", {"session_id": 7})
        self.wait_state("archived", task)
        self.assertIn("session_id", self.error_of(task))
        self.assertIn("string", self.error_of(task))

    def test_payload__argument_missing__is_archived_and_named(self):
        task = self.enqueue("strict", {})
        self.wait_state("archived", task)
        self.assertIn("session_id", self.error_of(task))

    def test_payload__binary__is_no_matter_when_nobody_looks(self):
        self.enqueue("lazy", bytes(range(256)))
        self.daemon.wait("raw", length=256)

    def test_message__undecodable__is_archived_with_its_bytes(self):
        q = "asynq:{default}:"
        bad = b"\xff\xff\xff not a message"
        self.r.pipeline([("HSET", q + "t:bad-one", "msg", bad, "state", "pending"),
                         ("LPUSH", q + "pending", "bad-one")])
        self.wait_state("archived", "bad-one")
        fields = decode(self.hash("bad-one")["msg"])
        self.assertEqual(fields[1], b"lunaq:undecodable")
        self.assertEqual(fields[2], bad)
        self.assertEqual(fields[3], b"bad-one")
        self.assertTrue(fields.get(7), "why it was archived")
        self.check_alive()
        self.check_audit()

    def test_message__for_another_id__is_not_run(self):
        from harness import message
        q = "asynq:{default}:"
        self.r.pipeline([("HSET", q + "t:one", "msg",
                          message("good", b"{}", "two", "default"), "state", "pending"),
                         ("LPUSH", q + "pending", "one")])
        self.check_alive()
        wait_for("it is settled", lambda: not self.state()["active"])
        self.check_audit()

    def test_id__without_a_task__is_dropped(self):
        self.r("SADD", "asynq:queues", "default")
        self.r("LPUSH", "asynq:{default}:pending", "ghost")
        self.check_alive()
        wait_for("it is gone", lambda: "ghost" not in
                 self.state()["pending"] + self.state()["active"])
        self.check_audit()

    def test_task_key__of_another_type__delays_nobody(self):
        q = "asynq:{default}:"
        self.r.pipeline([("SET", q + "t:odd", "text"), ("LPUSH", q + "pending", "odd")])
        self.check_alive()
        line = self.daemon.wait(level="error")
        self.assertIn("odd", str(line))
        wait_for("it is gone", lambda: "odd" not in
                 self.state()["pending"] + self.state()["active"])

    def test_queue_key__of_another_type__is_named_and_the_others_are_served(self):
        self.r("SET", "asynq:{low}:pending", "text")
        self.check_alive("default")
        lines, begun = self.daemon.count(), time.monotonic()
        line = self.daemon.wait("queue refused", queue="low")
        self.assertIn("WRONGTYPE", line["reason"])
        for _ in range(20):
            self.check_alive("critical")
        took = max(1.0, time.monotonic() - begun)
        refused = len(self.daemon.find("refused", lines))
        self.assertLessEqual(refused / took, 10, self.daemon.tail())
        self.r("DEL", "asynq:{low}:pending")
        self.check_alive("low")

    def test_active_key__of_another_type__is_named(self):
        self.r("SET", "asynq:{low}:active", "text")
        task = self.enqueue("good", queue="low")
        self.check_alive("default")
        line = self.daemon.wait("queue refused", queue="low")
        self.assertIn("WRONGTYPE", line["reason"])
        self.r("DEL", "asynq:{low}:active")
        self.daemon.wait("succeeded", task_id=task)

    def test_errors__of_every_kind__are_failures_with_a_text(self):
        wanted = {"table": "", "none": "nil", "number": "42", "boolean": "boolean",
                  "fn": "", "tostring": "", "notext": "",
                  "index": "raise.lua:", "long": "xxx", "bytes": "bad ",
                  "pair": "as a pair"}
        for how, part in wanted.items():
            with self.subTest(how):
                task = self.enqueue("raise", {"how": how})
                self.wait_state("retry", task)
                text = self.error_of(task)
                self.assertIn(part, text)
                self.assertTrue(text.strip())
                self.assertLessEqual(len(text), 16384)
        self.check_alive()
        self.check_audit()


if __name__ == "__main__":
    unittest.main()
