"""Periodic entries that functions and tables provide, and functions around
ticks."""

import os
import time
import unittest

from harness import World, wait_for

SCHEMA = """
    create table effects (id text, said text, at timestamptz default now(),
      opts text);
    create table plans (id serial, type text, spec text, payload text, tz text,
      enabled boolean, name text);
"""
SAY = """
    return { run = function(task)
      db.exec("insert into effects (id, said, opts) values ($1, $2, $3)", task.id,
              task.payload and task.payload.said or task.type,
              task.queue .. " " .. task.max_retry)
    end }
"""


class Schedule(World):
    database = True
    schema = SCHEMA
    handlers = {"say.lua": SAY, "other.lua": SAY}

    def said(self, text):
        return int(self.postgres.value(
            f"select count(distinct id) from effects where said = '{text}'"))

    def entries(self):
        return self.r("ZCARD", "asynq:schedulers") and sum(
            self.r("LLEN", key) for key in self.r("ZRANGE", "asynq:schedulers", 0, -1))

    def test_schedule_lua__entries_faults_edits_and_errors(self):
        self.write("handlers/_schedule.lua", """
            return {
              schedule_every = "1s",
              schedule = function()
                local n = db.value("select count(*) from plans")
                if n == 2 then error("no answer today") end
                return {
                  { type = "say", spec = "@every 1s", payload = { said = "first" },
                    queue = "low", max_retry = 1 },
                  { type = "say", spec = "every day", name = "no spec" },
                  { type = "say", spec = "@every 1s" },
                  { type = "say", spec = "@every 1s", name = "b",
                    payload = { said = n == 0 and "second" or "third" } },
                  { type = "say", spec = "@every 1s", name = "off", enabled = false },
                  { type = "say", spec = "0 5 * * *", tz = "Mars/Base" },
                  { spec = "0 5 * * *" },
                  "nothing",
                }
              end,
            }
        """)
        daemon = self.start()
        wait_for("both", lambda: self.said("first") and self.said("second"), 20, 0.1)
        wait_for("listed", lambda: self.entries() == 2, 20, 0.1)
        self.assertEqual(self.said("off"), 0)
        # They have the options of their rows, or else what is the default.
        for text, opts in ("first", "low 1"), ("second", "default 25"):
            self.assertEqual(self.postgres.value(
                "select string_agg(distinct opts, ', ') from effects"
                f" where said = '{text}'"), opts)
        # What is wrong with each row is said, and which.
        for row, reason in ((2, "cron"), (6, "Mars/Base"), (7, '"type" is missing'),
                            (8, "a table is expected")):
            seen = daemon.find("a provided row is left out: it is no entry", row=row)
            self.assertTrue(seen, row)
            self.assertIn(reason, seen[0]["reason"])
        self.assertTrue(daemon.find("periodic entry ignored"))
        # It is asked again by itself, and an answer that changed counts.
        self.postgres.execute("insert into plans (type) values ('x')")
        wait_for("the new answer", lambda: self.said("third"), 20, 0.1)
        # An error changes nothing.
        self.postgres.execute("insert into plans (type) values ('x')")
        daemon.wait("were not provided", seconds=20)
        n = self.said("third")
        wait_for("it goes on", lambda: self.said("third") > n + 1, 20, 0.1)
        # Without the file they are gone.
        os.unlink(os.path.join(self.home, "handlers/_schedule.lua"))
        wait_for("none is left", lambda: not self.entries(), 20, 0.1)

    def test_schedules_table__is_read_again(self):
        self.write("lunaq.conf.lua", """
            return { schedules = "plans", schedule_every = "1s" }
        """)
        daemon = self.start()
        self.postgres.execute("""
            insert into plans (type, spec, payload, enabled) values
              ('say', '@every 1s', '{"said":"one"}', true),
              ('say', '@every 2s', '{"said":"off"}', false),
              ('say', 'whenever', null, null),
              ('other', '@every 1s', null, null)
        """)
        wait_for("two of them",
                 lambda: self.said("one") and self.said("other"), 20, 0.1)
        self.assertTrue(daemon.find("a provided row is left out: it is no entry"))
        self.postgres.execute("""
            update plans set payload = '{"said":"two"}' where spec = '@every 1s'
              and type = 'say';
            update plans set enabled = true where spec = '@every 2s';
            delete from plans where type = 'other'
        """)
        wait_for("what was changed",
                 lambda: self.said("two") and self.said("off"), 20, 0.1)
        wait_for("what was deleted is gone", lambda: self.entries() == 2, 20, 0.1)
        self.postgres.execute("alter table plans rename to others")
        daemon.wait("were not provided", seconds=20)
        n = self.said("two")
        wait_for("what was there goes on", lambda: self.said("two") > n + 1, 20, 0.1)

    def test_hooks__before_may_leave_out__after_is_told__failing_ones_harm_nobody(self):
        self.write("handlers/_schedule.lua", """
            return {
              before_enqueue = function(entry)
                if entry.name == "raises" then error("before has a fault") end
                lunaq.sleep(0.05)
                return entry.payload.said ~= "never"
              end,
              after_enqueue = function(entry, info, err)
                if entry.name == "raises" then error("after has a fault") end
                if err then
                  db.exec("insert into effects values ($1, $2)", entry.id,
                          "refused " .. err.kind .. " " .. tostring(info))
                  return
                end
                db.exec("insert into effects values ($1, $2)", info.id .. "+",
                        "after " .. entry.payload.said .. " " .. info.queue)
              end,
            }
        """)
        self.write("handlers/own.lua", """
            return {
              cron = { spec = "@every 1s", payload = { said = "never" } },
              before_enqueue = function(entry) return true end,
              run = function(task)
                db.exec("insert into effects values ($1, 'own')", task.id)
              end,
            }
        """)
        self.write("lunaq.conf.lua", """
            return { cron = {
              { type = "say", spec = "@every 1s", payload = { said = "yes" } },
              { type = "say", spec = "@every 1s", name = "n",
                payload = { said = "never" } },
              { type = "say", spec = "@every 1s", name = "locked",
                queue = "unserved", unique = "1h", payload = { said = "locked" } },
              { type = "say", spec = "@every 1s", name = "raises",
                payload = { said = "raises" } } } }
        """)
        a = self.start(name="a")
        b = self.start(name="b")
        wait_for("ticks", lambda: self.said("yes") >= 4, 30, 0.1)
        wait_for("ticks whose functions raise", lambda: self.said("raises") >= 4, 30, 0.1)
        wait_for("the handler's own goes before", lambda: self.said("own") >= 2, 30, 0.1)
        self.assertEqual(self.said("never"), 0)
        wait_for("after was told", lambda: self.said("after yes default") >= 3, 30, 0.1)
        # Its lock is held by the first of its tasks, which nobody runs.
        wait_for("after was told of a refusal",
                 lambda: self.said("refused duplicate nil"), 30, 0.1)
        self.assertEqual(self.said("after locked unserved"), 1)
        wait_for("left out", lambda: a.find("left out") or b.find("left out"), 30, 0.1)
        for what in "before_enqueue failed", "after_enqueue failed":
            wait_for(what, lambda: a.find(what) or b.find(what), 30, 0.1)
        # Two daemons, and each tick once: at most one a second.
        for said in "yes", "raises":
            times = [float(r[0]) for r in self.postgres.rows(
                "select extract(epoch from min(at)) from effects where said = "
                f"'{said}' group by id order by 1")]
            self.assertLessEqual(len(times), times[-1] - times[0] + 2, times)
            self.assertLess(len(times), len(set(times)) + 1)


if __name__ == "__main__":
    unittest.main()
