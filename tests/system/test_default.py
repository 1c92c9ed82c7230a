"""No configuration at all: tasks and data in files below the application's
folder, no server beside the daemon.  And what it takes to leave that."""

import os
import re
import signal
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from harness import INTERRUPT, SLOW, Daemon, World, wait_for

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LUNAQ = os.environ.get("TEST_LUNAQ", "lunaq")
MIGRATION = """
    create table runs (
      task text not null,
      at   timestamptz not null default current_timestamp
    );
"""
HANDLERS = {
    "hello.lua": """
        return function(task)
          db.exec("insert into runs (task) values ($1)", task.payload.name)
          return "Hello, " .. task.payload.name
        end
    """,
    "nap.lua": """
        return function(task)
          lunaq.sleep(task.payload.seconds)
          db.exec("insert into runs (task) values ($1)", task.id)
        end
    """,
}


class Application:
    """A folder with handlers and a migration, and the programs in it."""

    def make(self, folder):
        self.home = tempfile.mkdtemp(prefix="home-", dir=folder)
        self.daemons = []
        for name, source in HANDLERS.items():
            self.write("handlers/" + name, source)
        self.write("migrations/0001_runs.sql", MIGRATION)
        self.addCleanup(self.end_daemons)

    write = World.write
    end_daemons = World._end

    def start(self, ready=True, **env):
        values = {"LUNAQ_LOG_FORMAT": "json"}
        if INTERRUPT:
            values["LUNAQ_INTERRUPT"] = INTERRUPT
        values.update({k: str(v) for k, v in env.items()})
        daemon = Daemon(self.home, values, name=f"lunaqd {len(self.daemons) + 1}")
        self.daemons.append(daemon)
        return daemon.ready() if ready else daemon

    def lunaq(self, *args, code=0, folder="", **env):
        """What the command prints, on stdout or, when it fails, on stderr."""
        clean = {k: v for k, v in os.environ.items()
                 if not re.match(r"LUNAQ_|REDIS_|DATABASE_", k)}
        clean.update(env)
        done = subprocess.run(
            [LUNAQ, *args], cwd=os.path.join(self.home, folder), env=clean,
            capture_output=True, text=True, timeout=60 * SLOW, check=False)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stderr if code else done.stdout


class Embedded(Application, unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lunaq-def-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.make(self.folder)

    def data(self, name=""):
        return os.path.join(self.home, ".lunaq", name)

    def runs(self):
        with sqlite3.connect(self.data("app.db"), timeout=30) as file:
            return [row[0] for row in file.execute("select task from runs")]

    def enqueue(self, *args, **how):
        """A task's id."""
        return self.lunaq("enqueue", *args, **how).split()[0]

    def test_start__in_a_folder_with_handlers__is_all_it_takes(self):
        daemon = self.start()
        line = daemon.find("lunaqd started")[0]
        self.assertEqual(line["broker"], "sqlite:.lunaq/queue.db")
        self.assertEqual(line["broker_source"], "default")
        self.assertEqual(line["database"], "sqlite:.lunaq/app.db")
        self.assertEqual(line["database_source"], "default")
        self.assertTrue(daemon.find("migration applied", name="0001_runs.sql"))
        self.assertIn("Hello, Bob", self.lunaq("enqueue", "hello", "name=Bob", "--wait"))
        self.assertEqual(self.runs(), ["Bob"])
        self.assertEqual(daemon.stop(), 0)

    def test_folder__is_private_and_ignored_by_git(self):
        self.start()
        self.lunaq("enqueue", "hello", "name=Bob", "--wait")
        self.assertEqual(os.stat(self.data()).st_mode & 0o777, 0o700)
        with open(self.data(".gitignore"), encoding="ascii") as file:
            self.assertEqual(file.read(), "*\n")
        for name in ("queue.db", "app.db", "queue.db-wal", "queue.db.lock"):
            self.assertEqual(os.stat(self.data(name)).st_mode & 0o777, 0o600, name)

    def test_banner__as_text__says_what_else_there_is(self):
        daemon = self.start(ready=False, LUNAQ_LOG_FORMAT="text")
        daemon.wait("sqlite:.lunaq/queue.db   (default; LUNAQ_BROKER=redis://")
        daemon.wait("sqlite:.lunaq/app.db   (default; DATABASE_URL=postgres://")

    def test_command_line__beside_the_daemon__needs_no_setting(self):
        self.start()
        # A queue that nobody serves.
        task = self.enqueue("hello", "name=Eve", "--queue", "ai", folder="handlers")
        self.assertIn(task, self.lunaq("task", "ls", "--queue", "ai"))
        self.assertIn("hello", self.lunaq("task", "show", task[-8:]))
        self.assertIn("ai", self.lunaq("queue", "ls"))
        self.assertIn("1 server", self.lunaq("stats"))
        self.lunaq("task", "delete", task)
        self.assertIn("hello", self.lunaq("handlers"))

    def test_command_line__without_a_daemon__tasks_wait_for_the_next(self):
        self.assertEqual(self.start().stop(), 0)
        self.lunaq("enqueue", "hello", "name=later")
        self.start().wait("succeeded", type="hello")
        self.assertEqual(self.runs(), ["later"])

    def test_command_line__before_the_first_start__says_so_and_makes_nothing(self):
        text = self.lunaq("enqueue", "hello", "name=Bob", code=1)
        self.assertIn("start lunaqd in " + self.home, text)
        self.assertFalse(os.path.exists(self.data()))

    def test_command_line__outside_of_any_application__says_where_it_looked(self):
        shutil.rmtree(os.path.join(self.home, "handlers"))
        text = self.lunaq("stats", code=1)
        self.assertIn(f"looked for lunaq.conf.lua and handlers/ in {self.home}", text)

    def test_command_line__queue_file_mistyped__is_not_made(self):
        text = self.lunaq("stats", "--broker", "sqlite:quue.db", code=1)
        self.assertIn("no queue file quue.db", text)
        self.assertFalse(os.path.exists(os.path.join(self.home, "quue.db")))

    def test_broker_of_the_file__is_the_command_lines_too(self):
        self.write("lunaq.conf.lua", "return { broker = 'sqlite:tasks.db' }")
        daemon = self.start()
        self.assertEqual(daemon.find("lunaqd started")[0]["broker_source"],
                         "lunaq.conf.lua")
        self.assertIn("Hello", self.lunaq("enqueue", "hello", "name=x", "--wait",
                                          folder="handlers"))
        self.assertTrue(os.path.exists(os.path.join(self.home, "tasks.db")))

    def test_file_of_a_variable__starts_at_the_application__also_below_it(self):
        self.start(LUNAQ_BROKER="sqlite:tasks.db")
        self.assertIn("Hello", self.lunaq("enqueue", "hello", "name=x", "--wait",
                                          folder="handlers", LUNAQ_BROKER="sqlite:tasks.db"))

    def test_broker_in_a_file__goes_before_the_other_variables(self):
        self.write("url", "sqlite:tasks.db\n")
        files = {"LUNAQ_BROKER_FILE": os.path.join(self.home, "url"),
                 "REDIS_URL": "redis://127.0.0.1:1"}
        self.start(**files)
        self.assertIn("Hello", self.lunaq("enqueue", "hello", "name=x", "--wait", **files))

    def test_prefix_for_a_file__is_refused_and_who_said_it_named(self):
        self.start()
        self.write("lunaq.conf.lua", "return { prefix = 'shop' }")
        self.assertIn("lunaq.conf.lua: prefix: ", self.lunaq("queue", "ls", code=1))

    def test_broken_file__is_told_by_the_command_line_too(self):
        self.write("lunaq.conf.lua", "return { brokr = 'sqlite:tasks.db' }")
        for args in [], ["--broker", "sqlite:other.db"]:
            self.assertIn('did you mean "broker"?', self.lunaq("queue", "ls", *args, code=1))

    def test_two_daemons__on_one_file__share_the_work(self):
        first = self.start(WORKER_CONCURRENCY=1)
        second = self.start(WORKER_CONCURRENCY=1)
        ids = [self.enqueue("nap", "seconds:=0.7") for _ in range(8)]
        wait_for("all have run", lambda: len(self.runs()) == len(ids), 60, 0.1)
        self.assertEqual(sorted(self.runs()), sorted(ids))
        self.assertTrue(first.find("succeeded", type="nap"))
        self.assertTrue(second.find("succeeded", type="nap"))
        self.assertEqual((first.stop(), second.stop()), (0, 0))

    def test_handler__edited__is_live(self):
        daemon = self.start()
        self.write("handlers/hello.lua", "return function() return 'new code' end")
        daemon.wait("reload", seconds=20)
        wait_for("the new code runs", lambda: "new code" in self.lunaq(
            "enqueue", "hello", "name=x", "--wait"), 20, 0.1)

    def test_wait__a_failed_attempt__is_told(self):
        self.write("handlers/bad.lua", """
            return {
              backoff = {"1s"}, max_retry = 1,
              run = function() error("not today") end,
            }""")
        self.start()
        wait_for("its options are published", lambda: "bad.lua" in self.lunaq("handlers"), 20, 0.05)
        said = self.lunaq("enqueue", "bad", "--wait", code=1)
        self.assertRegex(said, "attempt 1/2 failed: .*not today; next ")
        self.assertIn("it failed: ", said)

    def test_runaway_query__at_its_deadline__is_interrupted(self):
        self.write("handlers/endless.lua", """
            return {
              timeout = "1s", max_retry = 0,
              run = function()
                return db.value([[with recursive n (i) as (
                  select 1 union all select i + 1 from n) select count(*) from n]])
              end,
            }""")
        daemon = self.start(LUNAQ_DB_POOL=2)
        for _ in range(4):
            self.enqueue("endless", "--max-retry", "0")
        daemon.wait("start", type="endless")
        wait_for("all were given up", lambda: len(daemon.find("failed", type="endless")
                                                  + daemon.find("archived", type="endless"))
                 >= 4, 30, 0.05)
        # The log says it before the file has it.
        wait_for("all are archived", lambda: self.lunaq(
            "task", "ls", "--state", "archived").count("its time is up") == 4, 30, 0.1)
        # The connections are free again, and no thread goes on.
        self.assertIn("Hello", self.lunaq("enqueue", "hello", "name=x", "--wait"))
        used = daemon.cpu_seconds()
        self.lunaq("stats")
        self.assertLess(daemon.cpu_seconds() - used, 0.5)
        self.assertEqual(daemon.stop(), 0)

    def test_kill__under_load__loses_nothing(self):
        daemon = self.start(LUNAQ_LEASE="10s", WORKER_CONCURRENCY=4)
        ids = [self.enqueue("nap", "seconds:=0.1") for _ in range(60)]
        ids += [self.enqueue("nap", "seconds:=2") for _ in range(4)]
        wait_for("some have run", lambda: len(self.runs()) >= 20, 60, 0.02)
        daemon.signal(signal.SIGKILL)
        daemon.process.wait()
        self.start(LUNAQ_LEASE="10s", WORKER_CONCURRENCY=4)
        wait_for("all have run", lambda: set(ids) <= set(self.runs()), 60, 0.1)
        runs = self.runs()
        # Twice: at most what was in the four slots, and wrote before it died.
        self.assertLessEqual(len(runs) - len(ids), 4)
        with sqlite3.connect(self.data("queue.db"), timeout=30) as file:
            self.assertEqual(file.execute("pragma integrity_check").fetchone(), ("ok",))
            wait_for("the queue is empty", lambda: file.execute(
                "select count(*) from task").fetchone() == (0,), 20, 0.1)

    def test_page__every_statement_runs__every_column_is_there(self):
        self.start()
        self.enqueue("hello", "name=Eve", "--queue", "ai")
        self.enqueue("hello", "name=Bob", "--wait")
        with open(os.path.join(ROOT, "docs", "embedded.md"), encoding="utf-8") as file:
            page = file.read()
        statements = re.findall(r"```sql\n(.*?)```", page, re.S)
        self.assertGreater(len(statements), 5)
        with sqlite3.connect(f"file:{self.data('queue.db')}?mode=ro", uri=True,
                             timeout=30) as file:
            for statement in statements:
                file.execute(statement).fetchall()
            self.assertIn(("ai", "pending", 1), file.execute(statements[0]).fetchall())
            columns = file.execute(
                "select t.name, c.name from sqlite_schema t, pragma_table_info(t.name) c "
                "where t.type = 'table' and t.name not like 'sqlite_%'").fetchall()
        for table, column in columns:
            self.assertIn(f"**`{table}`**", page)
            self.assertIn(f"`{column}`", page, table)

    def test_lunaq_folder__is_in_the_way__says_which(self):
        with open(os.path.join(self.home, ".lunaq"), "w", encoding="ascii"):
            pass
        daemon = self.start(ready=False)
        self.assertEqual(daemon.exit_code(), 1)
        errors = daemon.find(level="error")
        self.assertEqual(len(errors), 1)
        self.assertIn(".lunaq", errors[0]["msg"])
        self.assertIn("Not a directory", errors[0]["msg"])

    def test_queue_file__removed_in_use__is_told(self):
        daemon = self.start()
        shutil.rmtree(self.data())
        line = daemon.wait("was removed or replaced", seconds=20)
        self.assertEqual(line["level"], "error")
        self.assertIn("queue.db", line["file"])

    def test_queue_file__of_another_program__is_left_alone(self):
        os.mkdir(self.data())
        with sqlite3.connect(self.data("queue.db")) as file:
            file.execute("create table notes (text)")
        daemon = self.start(ready=False)
        self.assertEqual(daemon.exit_code(), 1)
        self.assertIn("another program's database", daemon.find(level="error")[0]["msg"])
        with sqlite3.connect(self.data("queue.db")) as file:
            self.assertEqual(file.execute("select count(*) from notes").fetchone(), (0,))

    def test_database_in_memory__is_refused(self):
        daemon = self.start(ready=False, DATABASE_URL="sqlite::memory:")
        self.assertEqual(daemon.exit_code(), 1)
        self.assertIn("name a file", daemon.find(level="error")[0]["msg"])

    def test_migration__broken__names_file_and_line(self):
        self.write("migrations/0002_more.sql", "create table a (x text);\ncreate tabel b;\n")
        daemon = self.start(ready=False)
        self.assertEqual(daemon.exit_code(), 1)
        text = daemon.find(level="error")[0]["msg"]
        self.assertIn("0002_more.sql:2:", text)
        self.assertNotIn("PostgreSQL", text)
        with sqlite3.connect(self.data("app.db")) as file:
            self.assertEqual(file.execute(
                "select count(*) from sqlite_schema where name = 'a'").fetchone(), (0,))


class Servers(Application, World):
    """The same folder, with two settings more."""

    database = True

    def setUp(self):
        World.setUp(self)
        shutil.rmtree(self.home)
        self.make(self.folder)

    def test_two_variables__switch_to_redis_and_postgresql(self):
        servers = {"LUNAQ_BROKER": self.redis.url, "DATABASE_URL": self.postgres.url}
        self.start(**servers)
        self.assertIn("Hello, Bob", self.lunaq(
            "enqueue", "hello", "name=Bob", "--wait", **servers))
        self.assertEqual(self.postgres.rows("select task from runs"), [["Bob"]])
        self.assertFalse(os.path.exists(os.path.join(self.home, ".lunaq")))

    def test_prefix_of_the_file__holds_wherever_the_broker_is_named(self):
        self.write("lunaq.conf.lua", "return { prefix = 'shop' }")
        url = {"REDIS_URL": self.redis.url}
        self.start(DATABASE_URL=self.postgres.url, **url)
        self.assertIn("Hello", self.lunaq("enqueue", "hello", "name=x", "--wait", **url))
        self.assertIn("default", self.lunaq("queue", "ls", "--broker", self.redis.url))
        self.assertIn("no queues", self.lunaq("queue", "ls", "--prefix", "other", **url))
        self.assertEqual(self.r("EXISTS", "asynq:queues"), 0)

    def test_moved__to_redis_and_back__tasks_go_along(self):
        self.assertEqual(self.start().stop(), 0)
        self.lunaq("enqueue", "hello", "name=mover")
        self.lunaq("move", "sqlite:.lunaq/queue.db", self.redis.url)
        self.assertEqual(len(self.state()["pending"]), 1)
        self.lunaq("move", self.redis.url, "sqlite:.lunaq/queue.db")
        self.assertEqual(self.state()["pending"], [])
        self.start().wait("succeeded", type="hello")


if __name__ == "__main__":
    unittest.main()
