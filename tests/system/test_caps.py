"""Caps of queues and of handler files, and what queues keep, in a daemon with
its configuration: on both brokers."""

import json
import unittest

from both import Both
from harness import wait_for

RUN = """
  run = function(task)
    log.info("begins", { of = task.type })
    lunaq.sleep(0.02)
    log.info("ends", { of = task.type })
  end }
"""


def at_once(daemon, kind):
    """How many runs of a type went on at once, at most, and how many ended."""
    now = most = ended = 0
    for line in daemon.find(of=kind):
        if line["msg"] == "begins":
            now += 1
            most = max(most, now)
        elif line["msg"] == "ends":
            now -= 1
            ended += 1
    return most, ended


class Caps(Both):
    handlers = {
        "narrow.lua": "return { concurrency = 2," + RUN,
        "wide.lua": "return {" + RUN,
        "seed.lua": """return function(task)
          for i = 1, task.payload.n do
            queue.enqueue(task.payload.type, { n = i },
                          { queue = task.payload.queue })
          end
        end""",
    }

    def conf(self, queues):
        self.write("lunaq.conf.lua", "return { concurrency = 10, "
                   "worker_threads = 3, queues = { " + queues + " } }")

    def seed(self, kind, count, queue="default"):
        self.enqueue("seed", f"type={kind}", f"n:={count}", f"queue={queue}")

    def wait_ended(self, daemon, kind, count):
        wait_for(f"{count} {kind} have ended",
                 lambda: at_once(daemon, kind)[1] >= count, 40, 0.05)

    def test_handler__with_concurrency__runs_no_more_at_once(self):
        self.conf("default = 1")
        daemon = self.start()
        self.seed("narrow", 60)
        self.seed("wide", 60)
        self.wait_ended(daemon, "wide", 60)
        self.wait_ended(daemon, "narrow", 60)
        self.assertEqual(at_once(daemon, "narrow"), (2, 60))
        said = {h["type"]: h.get("concurrency") for h in
                json.loads(self.lunaq("handlers", "--json"))}
        self.assertEqual((said["narrow"], said["wide"]), (2, None))
        self.assertGreater(at_once(daemon, "wide")[0], 2)
        wait_for("all are counted", lambda: self.counters() == (122, 0))

    def test_handler__saved_with_another__follows(self):
        self.conf("default = 1")
        daemon = self.start()
        self.seed("narrow", 10)
        self.wait_ended(daemon, "narrow", 10)
        self.write("handlers/narrow.lua", "return { concurrency = 4," + RUN)
        daemon.wait("reload")
        self.seed("narrow", 40)
        self.wait_ended(daemon, "narrow", 50)
        self.assertEqual(at_once(daemon, "narrow")[0], 4)

    def test_queue__with_concurrency__runs_no_more_at_once(self):
        self.conf("default = 1, slow = { weight = 5, concurrency = 3 }")
        daemon = self.start()
        self.seed("wide", 60, "slow")
        self.seed("narrow", 5)
        self.wait_ended(daemon, "wide", 60)
        self.wait_ended(daemon, "narrow", 5)
        self.assertEqual(at_once(daemon, "wide"), (3, 60))
        wait_for("all are counted",
                 lambda: self.counters("slow") == (60, 0))

    def test_queue__with_limits__keeps_no_more(self):
        self.conf("default = { archive_max = 3, archive = '5d', "
                  "completed_max = 2 }")
        daemon = self.start()
        self.enqueue("wide")
        self.wait_ended(daemon, "wide", 1)

        def row():
            return json.loads(self.lunaq("queue", "show", "default", "--json"))
        wait_for("the limits are known", lambda: row()["archive_max"] == 3)
        self.assertEqual(row()["archive_ms"], 5 * 86400 * 1000)
        for _ in range(6):
            self.lunaq("enqueue", "wide", "--retention", "1h", "--wait")
        self.lunaq("queue", "pause", "default")
        for _ in range(7):
            self.enqueue("wide")
        self.lunaq("task", "archive", "--all", "--queue", "default",
                   "--state", "pending")
        now = row()
        self.assertEqual((now["completed"], now["archived"]), (2, 3))
        self.assertEqual(now["dropped_total"], 4 + 4)
        text = self.lunaq("queue", "show", "default")
        self.assertRegex(text, r"dropped total +8\n")
        self.assertRegex(text, r"archive max +3\n")


class OnRedis(Caps, unittest.TestCase):
    broker = "redis"


class OnSqlite(Caps, unittest.TestCase):
    broker = "sqlite"


if __name__ == "__main__":
    unittest.main()
