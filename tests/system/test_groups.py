"""Groups of tasks, on both brokers: when they are aggregated, by whom, and what
becomes of them."""

import json
import pathlib
import time
import unittest

from both import Both
from harness import wait_for


EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/handlers/mail.lua"


class Groups(Both):
    handlers = {
        "example.lua": EXAMPLE.read_text().replace('"30s"', '"1s"'),
        "mail.lua": """
            return { group = { grace = "1s", max_delay = "3s", max_size = 5 },
              backoff = "1s",
              args = { n = "number" },
              run = function(task)
                local n, ids = {}, {}
                for i, t in ipairs(task.tasks) do
                  n[i] = t.payload and t.payload.n or t.raw
                  ids[i] = t.id
                end
                log.info("mail", { group = task.group or "-", n = n, ids = ids,
                  type = task.tasks[1].type, id = task.id })
                if n[1] == -1 and task.attempt == 1 then error("no luck") end
              end }
        """,
        "steady.lua": """
            return { group = { grace = "2s", max_delay = "3s" },
              run = function(task) log.info("steady", { n = #task.tasks }) end }
        """,
        "event.lua": """
            return { group = { grace = "1s", aggregate = function(group, tasks)
                if tasks[1].payload.nothing then return nil end
                local sum = 0
                for _, t in ipairs(tasks) do sum = sum + t.payload.n end
                return "digest", { group = group, sum = sum },
                  { retention = "1h", task_id = tasks[1].payload.id }
              end },
              run = function(task) log.info("event alone") end }
        """,
        "broken.lua": """
            return { group = { grace = "1s",
                               aggregate = function() error("no words") end },
              run = function() end }
        """,
        "slow.lua": """
            return { group = { grace = "1s", aggregate = function(group, tasks)
                log.info("aggregating", { n = #tasks })
                lunaq.sleep(tasks[1].payload.nap)
                return "digest", { group = group, sum = #tasks }
              end },
              run = function() end }
        """,
        "digest.lua": """
            return { run = function(task)
              log.info("digest", { of = task.payload.group, sum = task.payload.sum,
                                   id = task.id })
            end }
        """,
        "plain.lua": """
            return function(task) log.info("plain", { id = task.id,
              group = task.group or "-", n = #task.tasks }) end
        """,
        "odd.lua": """
            return { group = { grace = "1s" }, run = function(task)
              local seen = {}
              for i, t in ipairs(task.tasks) do
                seen[i] = t.raw and #t.raw or json.encode(t.payload)
              end
              log.info("odd", { seen = seen, header = task.tasks[1].headers.k })
            end }
        """,
        "make.lua": """
            return function()
              queue.enqueue("odd", nil, { group = "o", raw = "\\0\\255x",
                                          headers = { k = "v" } })
              queue.enqueue("odd", nil, { group = "o", raw = "[1e999]" })
              queue.enqueue("odd", nil, { group = "o",
                raw = ("["):rep(125) .. ("]"):rep(125) })
              queue.enqueue("odd", { a = "\\u{1F600}" }, { group = "o" })
              queue.enqueue("odd", nil, { group = "o" })
            end
        """,
    }

    def groups(self):
        """What `group ls` says, by name."""
        rows = json.loads(self.lunaq("group", "ls", "--json"))
        return {row["group"]: row for row in rows}

    def put(self, kind, group, *args):
        return self.enqueue(kind, "--group", group, *args)

    def setUp(self):
        super().setUp()
        if self.broker == "sqlite":  # the file
            self.start().stop()

    # One daemon and one wait for what has nothing to do with each other.
    def test_groups_that_are_due__come_as_batches(self):
        grace = [self.put("mail", "grace", f"n:={i}") for i in range(3)]
        for i in range(7):
            self.put("mail", "size", f"n:={i}")
        for text in "one", "two":
            self.put("example", "ann", "text=" + text)
        one = self.put("mail", "one", "n:=1")
        late = [self.put("mail", "late", f"n:={i}", "--process-in", "1s")
                for i in range(2)]
        mails = [self.put("mail", "mixed", f"n:={i}") for i in range(2)]
        plain = self.put("plain", "mixed")
        for i in (3, 4):
            self.put("event", "mixed", f"n:={i}")
        alone = self.enqueue("mail", "n:=1")
        self.assertEqual(self.show(late[0])["state"], "scheduled")
        daemon = self.start()
        self.enqueue("make")

        with self.subTest("max_size does not wait for the grace"):
            self.assertEqual(daemon.wait("mail", group="size")["n"],
                             [0, 1, 2, 3, 4])
            daemon.wait("mail", group="size", n=[5, 6])
        with self.subTest("one run gets them all, the oldest first"):
            line = daemon.wait("mail", group="grace")
            self.assertEqual((line["n"], line["ids"]), ([0, 1, 2], grace))
            self.assertNotIn(line["id"], grace)
            daemon.wait("succeeded", task_id=line["id"])
            self.lunaq("task", "show", grace[0], code=1)
        with self.subTest("the example"):
            line = daemon.wait("mail", to="ann")
            self.assertEqual(line["text"], "* one\n* two")
        with self.subTest("a group of one runs by itself"):
            line = daemon.wait("mail", group="one")
            self.assertEqual((line["id"], line["ids"]), (one, [one]))
        with self.subTest("a task without a group has a list of itself"):
            line = daemon.wait("mail", group="-")
            self.assertEqual((line["id"], line["ids"]), (alone, [alone]))
        with self.subTest("other types go to their own handlers"):
            self.assertEqual(daemon.wait("mail", group="mixed")["ids"], mails)
            line = daemon.wait("plain", id=plain)
            self.assertEqual((line["group"], line["n"]), ("mixed", 1))
            self.assertEqual(daemon.wait("digest", of="mixed")["sum"], 7)
        with self.subTest("a scheduled task joins its group when it is due"):
            self.assertEqual(daemon.wait("mail", group="late")["ids"], late)
        with self.subTest("odd payloads arrive as they are"):
            line = daemon.wait("odd")
            self.assertEqual(line["header"], "v")
            self.assertEqual(line["seen"],
                             [3, 7, 250, '{"a":"\U0001f600"}', "{}"])

    def test_max_delay__does_not_wait_for_a_pause(self):
        daemon = self.start()
        began = time.monotonic()
        while not daemon.find("steady"):
            self.assertLess(time.monotonic() - began, 30)
            self.put("steady", "steady", "n:=1")
            time.sleep(0.4)
        self.assertGreater(time.monotonic() - began, 1.9)

    def test_batch_that_fails__is_retried_whole(self):
        self.put("mail", "u1", "n:=-1")
        self.put("mail", "u1", "n:=1")
        daemon = self.start()
        line = daemon.wait("mail", group="u1")
        daemon.wait("failed", task_id=line["id"])
        since = daemon.count()
        again = daemon.wait("mail", since=since, id=line["id"])
        self.assertEqual(again["n"], [-1, 1])

    # ---- an aggregator of the handler's own

    def test_aggregate__its_task_takes_their_place(self):
        taken = self.enqueue("nobody", "--task-id", "taken", "--process-in", "1h")
        for i in range(4):
            self.put("event", "e", f"n:={i}")
        empty = self.put("event", "empty", "nothing:=true")
        self.put("event", "ids", "n:=1", "id=" + taken)
        self.put("event", "ids", "n:=2")
        daemon = self.start()
        with self.subTest("one task of what many were"):
            line = daemon.wait("digest", of="e")
            self.assertEqual(line["sum"], 6)
            self.wait_state("completed", line["id"])
        with self.subTest("an id in use loses nothing"):
            daemon.wait("the id of an aggregated task is in use: it gets "
                        "another", wanted=taken)
            self.assertEqual(daemon.wait("digest", of="ids")["sum"], 3)
        with self.subTest("no task is an error that is tried again"):
            what = "a group could not be aggregated"
            line = daemon.wait(what, group="empty")
            self.assertIn("it returned nothing", line["reason"])
            self.assertEqual(self.show(empty)["state"], "aggregating")
            row = wait_for("it is shown", lambda: self.groups().get("empty"),
                           10, 0.1)
            self.assertEqual((row["tasks"], row["failures"]), (1, 1))
            self.assertIn("it returned nothing", row["error"])
            self.assertGreater(row["due_at"], row["oldest_at"])

    def test_aggregate_that_fails__holds_up_no_other_type_of_the_group(self):
        self.put("event", "mix", "n:=5")
        broken = self.put("broken", "mix")
        self.put("event", "mix", "n:=2")
        daemon = self.start()
        self.assertEqual(daemon.wait("digest", of="mix")["sum"], 7)
        line = daemon.wait("a group could not be aggregated", group="mix")
        self.assertEqual(line["tasks"], 1)
        self.assertIn("no words", line["reason"])
        self.assertEqual(self.show(broken)["state"], "aggregating")
        row = wait_for("it is shown", lambda: self.groups().get("mix"), 10, 0.1)
        self.assertEqual((row["tasks"], row["failures"]), (1, 1))

    # ---- ends of processes

    def test_stop__puts_the_group_back(self):
        self.put("slow", "s", "nap:=60")
        first = self.start()
        first.wait("aggregating")
        self.assertEqual(first.stop(), 0)
        second = self.start()
        second.wait("aggregating", n=1)

    def test_two_servers__each_task_is_in_one_batch(self):
        daemons = [self.start(), self.start()]
        n = 60
        ids = {self.put("mail", f"g{i % 7}", f"n:={i}") for i in range(n)}
        self.assertEqual(len(ids), n)

        def got():
            lines = [line for d in daemons for line in d.find("mail")]
            seen = [task for line in lines for task in line["ids"]]
            return seen if len(seen) >= n else None
        seen = wait_for("all tasks", got, 30, 0.2)
        self.assertEqual(sorted(seen), sorted(ids))


class GroupsRedis(Groups, unittest.TestCase):
    broker = "redis"


class GroupsSqlite(Groups, unittest.TestCase):
    broker = "sqlite"


if __name__ == "__main__":
    unittest.main()
