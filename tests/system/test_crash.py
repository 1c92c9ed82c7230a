"""The daemon is killed with tasks in its hands."""

import time
import unittest

from harness import SLOW, World, wait_for

SCHEMA = """
    create table effects (
      id text not null, attempt int not null, phase text not null,
      tag text not null, at timestamptz not null default clock_timestamp());
    create table pace (kind text primary key, seconds float not null);
    insert into pace values ('many', 1), ('few', 1); -- 0: end now
"""
WORK = """
    local tag = lunaq.env("TAG") or ""
    return function(task)
      db.exec("insert into effects values ($1, $2, 'start', $3)",
              task.id, task.attempt, tag)
      lunaq.sleep(task.payload.seconds)
      db.exec("insert into effects values ($1, $2, 'end', $3)",
              task.id, task.attempt, tag)
    end
"""
INNOCENT = """
    return function(task)
      log.info("begun")
      local left = 600
      while left > 0 do
        local pace = db.value("select seconds from pace where kind = $1",
                              task.payload.kind)
        if pace == 0 then return end
        lunaq.sleep(0.1)
        left = left - 1
      end
    end
"""
KILLER = """
    return function(task)
      log.info("kill me")
      lunaq.sleep(60)
    end
"""
LEASE = 10


class Killed(World):
    database = True
    schema = SCHEMA
    handlers = {"work.lua": WORK, "innocent.lua": INNOCENT, "killer.lua": KILLER}

    def daemon(self, tag, **env):
        return self.start(name=tag, TAG=tag, LUNAQ_ENV="TAG",
                          LUNAQ_LEASE=f"{LEASE}s", LUNAQ_DB_POOL=20, **env)

    def test_kill__under_load__loses_nothing_and_explains_each_repeat(self):
        first = self.daemon("first", WORKER_CONCURRENCY=20)
        ids = self.enqueue_many(1000, "work", lambda i: b'{"seconds":0.02}')
        wait_for("300 have ended", lambda: int(self.postgres.value(
            "select count(*) from effects where phase = 'end'")) >= 300)
        first.kill()
        held = set(self.state()["active"])
        self.assertGreater(len(self.state()["pending"]), 0, "killed too late")
        self.assertGreater(len(held), 0)
        second = self.daemon("second", WORKER_CONCURRENCY=20)
        killed_at = time.monotonic()
        self.wait_empty(seconds=40)
        self.assertLess(time.monotonic() - killed_at, 25 * SLOW)
        self.assertEqual(second.stop(), 0)
        self.check_audit()
        rows = self.postgres.rows(
            "select id, count(*) filter (where phase = 'start'),"
            " count(*) filter (where phase = 'end'), max(attempt)"
            " from effects group by id")
        ended = {r[0] for r in rows if int(r[2]) > 0}
        self.assertEqual(ended, set(ids), "lost")
        repeated = {r[0] for r in rows if int(r[1]) > 1}
        self.assertLessEqual(repeated, held, "repeated without a crash")
        for row in rows:
            self.assertLessEqual(int(row[1]), 2, row)
            self.assertEqual(row[3], "1", "a crash used an attempt")
        self.assertEqual(self.r("GET", "asynq:{default}:processed"), b"1000")
        for task in held:
            if task in repeated:
                self.assertTrue(second.find("its holder vanished", task_id=task))

    def test_kill__another_daemon_alive__takes_over_within_15_seconds(self):
        first = self.daemon("first", WORKER_CONCURRENCY=5)
        tasks = self.enqueue_many(5, "work", lambda i: b'{"seconds":30}')
        for task in tasks:
            first.wait("start", task_id=task)
        second = self.daemon("second", WORKER_CONCURRENCY=5)
        # Its link must have stood for a while, as it would in real life.
        wait_for("the second is settled",
                 lambda: time.monotonic() - second.lines[0]["_at"] > 10)
        first.kill()
        killed = time.monotonic()
        for task in tasks:
            second.wait("start", 20, task_id=task)
        self.assertLess(time.monotonic() - killed, 15 * SLOW)
        self.check_audit()

    def test_killer__among_100_long_tasks__is_archived_and_no_innocent_is(self):
        # 85 of them end in the second life, so that few suspects are left
        # to go one by one.
        many = self.enqueue_many(85, "innocent", lambda i: b'{"kind":"many"}')
        few = self.enqueue_many(15, "innocent", lambda i: b'{"kind":"few"}')
        killer = self.enqueue("killer")
        lives = 0
        while lives < 8:
            lives += 1
            daemon = self.daemon(f"life {lives}", WORKER_CONCURRENCY=101)
            if lives <= 2:
                for task in many + few:
                    daemon.wait("begun", 40, task_id=task)
            if lives == 2:
                self.postgres.execute("update pace set seconds = 0 where kind = 'many'")
                wait_for("the many have ended", lambda: len(
                    daemon.find("succeeded", type="innocent")) == len(many), 30)
            if lives == 3:
                self.postgres.execute("update pace set seconds = 0")
            wait_for("the killer runs, or is archived", lambda: (
                daemon.find("kill me") or killer in self.state()["archived"]), 120)
            if killer in self.state()["archived"]:
                break
            daemon.kill()
        self.assertEqual(lives, 4, "three crashes, and a life that archives it")
        self.wait_empty(seconds=120)
        self.assertEqual(self.state()["archived"], [killer])
        self.assertRegex(self.error_of(killer), "crash")
        self.assertEqual(int(self.r("GET", "asynq:{default}:failed") or 0), 1)
        self.assertEqual(daemon.stop(), 0)
        self.check_audit()


if __name__ == "__main__":
    unittest.main()
