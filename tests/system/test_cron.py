"""Periodic tasks fire once a tick, whoever lives."""

import os
import signal
import struct
import time
import unittest

from harness import SLOW, World, decode, wait_for
from test_crash import SCHEMA

EVERY = 2


class Cron(World):
    database = True
    schema = SCHEMA
    handlers = {"tick.lua": f"""
        return {{
          cron = {{ spec = "@every {EVERY}s", payload = {{ from = "file" }} }},
          run = function(task)
            db.exec("insert into effects values ($1, $2, $3, $4)",
                    task.id, task.attempt, task.payload.from, task.queue)
          end,
        }}
    """}

    def ticks(self, phase="file"):
        """When each task ran, in seconds; one row a task."""
        rows = self.postgres.rows(
            "select id, extract(epoch from min(at)) from effects"
            f" where phase = '{phase}' group by id order by 2")
        return [float(at) for _, at in rows]

    def check_once(self, ticks):
        for a, b in zip(ticks, ticks[1:]):
            self.assertGreater(b - a, EVERY - 0.9, f"fired twice: {ticks}")

    def test_two_daemons__one_killed_and_started_again__each_tick_once(self):
        a = self.start(name="a", LUNAQ_LEASE="10s")
        self.start(name="b", LUNAQ_LEASE="10s")
        wait_for("three ticks", lambda: len(self.ticks()) >= 3, 15, 0.1)
        a.kill()
        n = len(self.ticks())
        wait_for("two more", lambda: len(self.ticks()) >= n + 2, 10, 0.1)
        self.start(name="a again", LUNAQ_LEASE="10s")
        wait_for("two more", lambda: len(self.ticks()) >= n + 4, 10, 0.1)
        ticks = self.ticks()
        self.check_once(ticks)
        # None was left out while somebody lived.
        for x, y in zip(ticks, ticks[1:]):
            self.assertLess(y - x, EVERY + 1.5 * SLOW, ticks)

    def test_all_down_for_some_ticks__one_is_made_up_for(self):
        daemon = self.start()
        wait_for("a tick", self.ticks, 10, 0.1)
        self.assertEqual(daemon.stop(), 0)
        before = len(self.ticks())
        gone = time.monotonic()
        wait_for("three ticks have passed",
                 lambda: time.monotonic() - gone > 3 * EVERY, 10, 0.1)
        self.assertEqual(len(self.ticks()), before)
        self.start()
        started = time.time()
        wait_for("ticks again", lambda: len(self.ticks()) >= before + 4, 15, 0.1)
        after = self.ticks()[before:]
        self.assertLess(after[0] - started, 1.5 * SLOW, "the missed one fires at once")
        # The one behind it may come soon: what was missed keeps to its beat.
        self.check_once(after[1:])

    def test_last_tick_far_in_the_future__the_entry_begins_anew(self):
        # As a clock leaves it that was set back: before the start, and during.
        key, entry = "lunaq:{default}:cron", f"tick|@every {EVERY}s"
        hour = 3600 * 1000
        self.r("HSET", key, entry, int(time.time() * 1000) + hour)
        daemon = self.start()
        daemon.wait("in the future, as when a clock is set back")
        wait_for("two ticks", lambda: len(self.ticks()) >= 2, 15, 0.1)
        self.check_once(self.ticks())
        self.r("HSET", key, entry, int(time.time() * 1000) + hour)
        n = len(self.ticks())
        wait_for("two more", lambda: len(self.ticks()) >= n + 2, 15, 0.1)

    def test_entry_in_the_configuration__fires_with_its_payload_and_queue(self):
        self.write("lunaq.conf.lua", """
            return { cron = {
              { spec = "@every 1s", type = "tick", queue = "low",
                payload = { from = "config" } } } }
        """)
        daemon = self.start()
        daemon.wait("periodic task enqueued", spec="@every 1s")
        wait_for("it ran", lambda: self.ticks("config"))
        self.assertEqual(self.postgres.rows(
            "select distinct tag from effects where phase = 'config'"), [["low"]])

    def test_entry_that_never_fires__is_a_warning_once(self):
        said = "periodic entry never fires"
        never = 'return { cron = "0 0 31 2 *", run = function() end }'
        self.write("handlers/never.lua", never)
        self.write("lunaq.conf.lua", """
            return { cron = { { spec = "0 0 30 2 *", type = "tick" },
                              { spec = "0 0 29 2 *", type = "tick" } } }
        """)
        daemon = self.start()
        line = daemon.wait(said, type="never", spec="0 0 31 2 *")
        self.assertEqual(line["level"], "warn")
        self.assertEqual(line["file"], "never.lua")
        daemon.wait(said, type="tick", spec="0 0 30 2 *")
        self.write("handlers/never.lua", never + " -- edited")
        self.write("handlers/more.lua", """
            return { cron = "0 0 31 4 *", run = function() end }""")
        daemon.wait(said, type="more")
        self.assertEqual(len(daemon.find(said)), 3)

    def test_entry_of_a_changed_file__follows_the_edit(self):
        daemon = self.start()
        wait_for("a tick", self.ticks, 10, 0.1)
        self.write("handlers/tick.lua", """
            return {
              cron = { spec = "@every 1s", payload = { from = "edited" } },
              run = function(task)
                db.exec("insert into effects values ($1, $2, $3, '')",
                        task.id, task.attempt, task.payload.from)
              end,
            }
        """)
        wait_for("the new entry fires", lambda: len(self.ticks("edited")) >= 2, 15, 0.1)
        old = len(self.ticks())
        wait_for("and again", lambda: len(self.ticks("edited")) >= 5, 15, 0.1)
        self.assertEqual(len(self.ticks()), old, "the old entry went on")
        self.assertEqual(daemon.find(level="error"), [])

    def test_on_a_queue_file__three_daemons__kills__each_tick_once(self):
        broker = {"LUNAQ_BROKER": f"sqlite:{self.home}/queue.db", "LUNAQ_LEASE": "10s"}
        daemons = [self.start(name=str(i), **broker) for i in range(3)]
        for i in range(3):
            n = len(self.ticks())
            wait_for("a tick", lambda: len(self.ticks()) > n, 15, 0.05)
            daemons[i].kill()
            daemons.append(self.start(name=f"{i} again", **broker))
        n = len(self.ticks())
        wait_for("two more", lambda: len(self.ticks()) >= n + 2, 15, 0.1)
        self.check_once(self.ticks())

    def test_zone_files__are_read_again_by_a_reload(self):
        zones = os.path.join(self.home, "zones")
        os.mkdir(zones)
        def put(hours):
            with open(os.path.join(zones, "Here"), "wb") as f:
                head = b"TZif2" + bytes(15) + struct.pack(">6i", 0, 0, 0, 0, 1, 4)
                block = struct.pack(">iBB", hours * 3600, 0, 0) + b"LMT\0"
                f.write(head + block + head + block + f"\n<XXX>{-hours}\n".encode())
        put(1)
        self.write("lunaq.conf.lua", """
            return { cron = { { spec = "0 5 * * *", tz = "Here", type = "tick" } } }
        """)
        daemon = self.start(TZDIR=zones)
        def next_hour():
            for key in self.r("ZRANGE", "asynq:schedulers", 0, -1):
                for entry in self.r("LRANGE", key, 0, -1):
                    if b"CRON_TZ=Here" in entry:
                        return decode(decode(entry)[6])[1] // 3600 % 24
        wait_for("five o'clock there", lambda: next_hour() == 4, 20, 0.1)
        put(3)
        daemon.signal(signal.SIGHUP)
        wait_for("five o'clock there now", lambda: next_hour() == 2, 20, 0.1)
        # A zone that cannot be read any more stays as it was.
        os.unlink(os.path.join(zones, "Here"))
        daemon.signal(signal.SIGHUP)
        daemon.wait("could not be read again", seconds=20)
        self.assertEqual(next_hour(), 2)

    def test_missed_ticks__by_the_entrys_policy(self):
        hour = 3600
        self.write("lunaq.conf.lua", """
            return { timezone = "Asia/Kolkata", cron = {
              { spec = "@every 1h", name = "once", type = "tick",
                payload = { from = "once" } },
              { spec = "@every 1h", name = "skip", type = "tick", missed = "skip",
                payload = { from = "skip" } },
              { spec = "@every 1h", name = "all", type = "tick", missed = "all",
                payload = { from = "all" } },
              { spec = "0 * * * *", type = "tick", missed = "all",
                payload = { from = "zone" } } } }
        """)
        last = (int(time.time()) - 5 * hour - 600) * 1000
        for name in "once", "skip", "all":
            self.r("HSET", "lunaq:{default}:cron", f"tick|@every 1h|{name}", last)
        # Its full hours are our half ones.
        self.r("HSET", "lunaq:{default}:cron",
               "tick|CRON_TZ=Asia/Kolkata 0 * * * *", last)
        daemon = self.start()
        wait_for("all of them", lambda: len(self.ticks("all")) >= 5, 20, 0.1)
        wait_for("by the zone", lambda: len(self.ticks("zone")) >= 5, 20, 0.1)
        wait_for("the next ones are known",
                 lambda: len(self.ticks()) >= 1, 20, 0.1)
        self.assertEqual(len(self.ticks("once")), 1)
        self.assertEqual(len(self.ticks("skip")), 0)
        self.assertEqual(len(self.ticks("all")), 5)
        at = int(self.r("HGET", "lunaq:{default}:cron",
                        "tick|CRON_TZ=Asia/Kolkata 0 * * * *"))
        self.assertEqual(at // 1000 % hour, hour // 2)
        self.assertEqual(daemon.find(level="error"), [])

    def test_history__is_kept_across_restarts(self):
        for _ in range(2):
            daemon = self.start()
            n = len(self.ticks())
            wait_for("a tick", lambda: len(self.ticks()) > n, 15, 0.1)
            self.assertEqual(daemon.stop(), 0)
        events = self.r("ZRANGE", f"asynq:scheduler_history:tick|@every {EVERY}s",
                        0, -1)
        ran = self.postgres.rows("select distinct id from effects order by 1")
        self.assertGreaterEqual(len(events), 2)
        self.assertEqual(len(events), len(ran))
        for event, row in zip(events, ran):
            self.assertIn(row[0].encode(), event)

    def test_entries__are_listed_for_asynqs_tools(self):
        daemon = self.start()
        wait_for("listed", lambda: self.r("ZCARD", "asynq:schedulers"), 10)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.r("ZCARD", "asynq:schedulers"), 0)


if __name__ == "__main__":
    unittest.main()
