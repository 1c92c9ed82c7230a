"""Daemons are killed while they aggregate: each task ends up in one batch."""

import json
import random
import time
import unittest

from both import Both
from harness import wait_for

TASKS, GROUPS, KILLS = 240, 30, 5


class Kills(Both):
    handlers = {
        # Half of the groups become batches, half go through a function.
        "make.lua": """
            return { timeout = "5m", run = function(task)
              local list = {}
              for i = 1, task.payload.tasks do
                local g = i % task.payload.groups
                list[#list + 1] = { type = g % 2 == 0 and "whole" or "made",
                  task_id = "e" .. i, group = "g" .. g,
                  payload = { id = "e" .. i } }
              end
              queue.enqueue_many(list)
              log.info("made", { n = #list })
            end }
        """,
        "whole.lua": """
            return { group = { grace = "1s", max_size = 5 }, retention = "1h",
              run = function(task)
                lunaq.sleep(0.02)
                local ids = {}
                for i, t in ipairs(task.tasks) do ids[i] = t.id end
                return { ids = ids }
              end }
        """,
        "made.lua": """
            return { group = { grace = "1s", max_size = 5,
                aggregate = function(group, tasks)
                  local ids = {}
                  for i, t in ipairs(tasks) do ids[i] = t.payload.id end
                  lunaq.sleep(0.05)
                  return "batch", { ids = ids }, { retention = "1h" }
                end },
              run = function() error("it is aggregated, always") end }
        """,
        "batch.lua": """
            return function(task) return { ids = task.payload.ids } end
        """,
    }

    def batches(self):
        """The ids in each batch that is completed."""
        rows = json.loads(self.lunaq("task", "ls", "--state", "completed",
                                     "--size", "1000", "--json"))
        found = {}
        for row in rows:
            if row["type"] in ("whole", "batch"):
                found[row["id"]] = json.loads(row["result"])["ids"]
        return found

    def test_kills__each_task_is_in_one_batch(self):
        env = {"LUNAQ_LEASE": "10s", "LUNAQ_CRASH_LIMIT": "0"}
        alive = [self.start(**env), self.start(**env)]
        self.enqueue("make", f"tasks:={TASKS}", f"groups:={GROUPS}")
        wait_for("the tasks are made", lambda: any(d.find("made") for d in alive),
                 20, 0.05)
        for _ in range(KILLS):
            time.sleep(random.uniform(0.1, 0.6))
            alive.pop(0).kill()
            alive.append(self.start(**env))

        def all_there():
            found = self.batches()
            return found if sum(map(len, found.values())) >= TASKS else None
        found = wait_for("all are in batches", all_there, 90, 0.5)
        seen = sorted(one for ids in found.values() for one in ids)
        self.assertEqual(seen, sorted(f"e{i}" for i in range(1, TASKS + 1)))
        self.assertEqual(json.loads(self.lunaq("group", "ls", "--json")), [])
        for daemon in alive:
            self.assertEqual(daemon.stop(), 0)
        self.lunaq("fsck")


class KillsRedis(Kills, unittest.TestCase):
    broker = "redis"


class KillsSqlite(Kills, unittest.TestCase):
    broker = "sqlite"


if __name__ == "__main__":
    unittest.main()
