"""Start, work, stop: what the daemon does in a life without accidents, and what
it says when it cannot start."""

import json
import os
import re
import signal
import socket
import time
import unittest

from harness import SLOW, World, wait_for

HELLO = """
    return function(task)
      log.info("hello", { name = task.payload.name })
    end
"""
NAP = """
    return function(task)
      lunaq.sleep(task.payload.seconds)
    end
"""


class Work(World):
    handlers = {"hello.lua": HELLO, "nap.lua": NAP}

    def test_task__enqueued__runs_once_and_is_gone(self):
        daemon = self.start()
        task = self.enqueue("hello", {"name": "Bob"})
        line = daemon.wait("hello", name="Bob")
        self.assertEqual(line["task_id"], task)
        daemon.wait("succeeded", task_id=task)
        self.wait_empty()
        self.assertEqual(self.hash(task), {})
        self.assertEqual(self.r("GET", "asynq:{default}:processed"), b"1")
        self.check_audit()
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(len(daemon.find("hello", name="Bob")), 1)

    def test_task__with_retention__is_kept_as_completed(self):
        self.start()
        task = self.enqueue("hello", {"name": "x"}, retention=60)
        self.wait_state("completed", task)
        self.assertEqual(self.hash(task)["state"], b"completed")
        self.check_audit()

    def test_start_line__names_the_source_of_the_broker(self):
        daemon = self.start(LUNAQ_BROKER=None, REDIS_URL=self.redis.url)
        line = daemon.find("lunaqd started")[0]
        self.assertEqual(line["broker_source"], "REDIS_URL")
        self.assertEqual(line["broker"], self.redis.url)
        self.assertIn("2 types", line["handlers"])

    def test_banner__as_text__says_where_and_how(self):
        daemon = self.start(ready=False, LUNAQ_LOG_FORMAT="text")
        line = daemon.wait("broker " + self.redis.url)
        self.assertIn("(LUNAQ_BROKER)", line["msg"])
        daemon.wait("queues        critical 6, default 3, low 1; 10 tasks at once")

    def test_durable_fsync__on_a_redis_that_cannot__is_a_warning(self):
        info = self.r("INFO", "server").decode()
        old = tuple(int(n) for n in re.search(
            r"redis_version:(\d+)\.(\d+)", info).groups()) < (7, 2)
        said = "handlers' enqueues will be refused"
        daemon = self.start(LUNAQ_DURABLE="fsync")
        if old:
            line = daemon.wait(said)
            self.assertEqual(line["level"], "warn")
            self.assertIn("needs Redis 7.2 or newer", line["reason"])
        else:
            self.assertEqual(daemon.stop(), 0)  # all of the log is there
            self.assertEqual(daemon.find(said), [])
        other = self.start(LUNAQ_DURABLE="none")
        self.assertEqual(other.stop(), 0)
        self.assertEqual(other.find(said), [])

    def test_server__is_listed_while_it_lives_and_gone_after(self):
        daemon = self.start()
        wait_for("the server is listed", lambda: self.r("ZCARD", "asynq:servers"))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.r("ZCARD", "asynq:servers"), 0)
        self.assertEqual(self.r("KEYS", "asynq:servers:*"), [])
        self.assertEqual(self.r("KEYS", "asynq:workers:*"), [])


class Stop(World):
    handlers = {"nap.lua": NAP}


    def test_term__under_load__loses_nothing_and_exits_0(self):
        daemon = self.start(WORKER_CONCURRENCY=20)
        ids = self.enqueue_many(1000, "nap", lambda i: b'{"seconds":0.05}')
        wait_for("200 tasks are done",
                 lambda: int(self.r("GET", "asynq:{default}:processed") or 0) >= 200)
        self.assertEqual(daemon.stop(), 0)
        state = self.state()
        self.assertEqual(state["active"], [])
        self.assertEqual(self.r("ZCARD", "asynq:{default}:lease"), 0)
        done = int(self.r("GET", "asynq:{default}:processed"))
        self.assertEqual(done + len(state["pending"]), len(ids))
        self.assertLess(done, len(ids), "the daemon was too fast for this test")
        self.check_audit()
        daemon.wait("no task of this server is left active")

    def test_term__tasks_longer_than_the_timeout__are_given_back_first_in_line(self):
        daemon = self.start(WORKER_CONCURRENCY=4, LUNAQ_SHUTDOWN_TIMEOUT="1s")
        ids = self.enqueue_many(8, "nap", lambda i: b'{"seconds":60}')
        wait_for("4 are running", lambda: len(self.state()["active"]) == 4)
        running = set(self.state()["active"])
        begun = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - begun, 7 * SLOW)  # of 8, the default
        pending = self.state()["pending"]  # right end = next to run
        self.assertEqual(set(pending[-4:]), running)
        self.assertEqual(set(pending), set(ids))
        for task in running:
            self.assertEqual(self.error_of(task), "")
        self.assertIsNone(self.r("GET", "asynq:{default}:failed"))
        self.check_audit()

    def test_second_int__ends_at_once_and_gives_back(self):
        daemon = self.start(WORKER_CONCURRENCY=4, LUNAQ_SHUTDOWN_TIMEOUT="60s")
        self.enqueue_many(4, "nap", lambda i: b'{"seconds":60}')
        wait_for("4 are running", lambda: len(self.state()["active"]) == 4)
        daemon.signal(signal.SIGINT)
        daemon.wait("Ctrl-C again stops now")
        begun = time.monotonic()
        daemon.signal(signal.SIGINT)
        code = daemon.exit_code()
        self.assertLess(time.monotonic() - begun, 15 * SLOW)  # of 60
        self.assertEqual(code, 0)
        self.assertEqual(self.state()["active"], [])
        self.assertEqual(len(self.state()["pending"]), 4)
        self.check_audit()

    def test_second_term__changes_nothing(self):
        daemon = self.start(LUNAQ_SHUTDOWN_TIMEOUT="20s")
        task = self.enqueue("nap", {"seconds": 1.5})
        daemon.wait("start", task_id=task)
        daemon.signal(signal.SIGTERM)
        daemon.wait("waiting for running tasks")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.exit_code(), 0)
        self.assertTrue(daemon.find("succeeded", task_id=task))

    def test_tstp__takes_no_more__running_ones_end(self):
        daemon = self.start()
        first = self.enqueue("nap", {"seconds": 0.5})
        daemon.wait("start", task_id=first)
        daemon.signal(signal.SIGTSTP)
        daemon.wait("quiet: takes no more tasks")
        second = self.enqueue("nap", {"seconds": 0})
        daemon.wait("succeeded", task_id=first)
        # Work of the daemon's own after that: the end of it proves the order.
        daemon.signal(signal.SIGHUP)
        daemon.wait("reloaded")
        self.assertEqual(self.state()["pending"], [second])
        self.assertEqual(daemon.stop(), 0)

    def test_term__while_starting__takes_nothing_or_gives_it_back(self):
        tasks = self.enqueue_many(50, "nap", lambda i: b'{"seconds":60}')
        codes = set()
        for i in range(12):  # from before main() to after the first task
            daemon = self.start(ready=False, LUNAQ_SHUTDOWN_TIMEOUT="0")
            time.sleep(i * 0.004 * SLOW)
            daemon.signal(signal.SIGTERM)
            codes.add(daemon.exit_code())
            self.assertEqual(self.state()["active"], [], daemon.tail())
        self.assertEqual(set(self.state()["pending"]), set(tasks))
        self.assertLessEqual(codes, {0, 1, -signal.SIGTERM})
        self.check_audit()

    def test_term__while_the_broker_keeps_it_waiting__ends_at_once(self):
        path = os.path.join(self.home, "silent.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen(5)
            daemon = self.start(ready=False, LUNAQ_BROKER="redis-socket://" + path)
            s.settimeout(10 * SLOW)
            peer = s.accept()[0]
            begun = time.monotonic()
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.exit_code(), 1)
            self.assertLess(time.monotonic() - begun, 3 * SLOW)
            self.assertTrue(daemon.find("no task was taken"), daemon.tail())
            peer.close()

    def test_usr1__is_ignored(self):
        daemon = self.start()
        daemon.signal(signal.SIGUSR1)
        daemon.signal(signal.SIGUSR2)
        daemon.signal(signal.SIGPIPE)
        task = self.enqueue("nap", {"seconds": 0})
        daemon.wait("succeeded", task_id=task)

    def test_stop__while_the_broker_is_away__ends_and_says_so(self):
        daemon = self.start(LUNAQ_SHUTDOWN_TIMEOUT="1s", LUNAQ_LEASE="10s")
        task = self.enqueue("nap", {"seconds": 60})
        daemon.wait("start", task_id=task)
        self.redis.signal(signal.SIGSTOP)
        self.addCleanup(self.redis.signal, signal.SIGCONT)
        begun = time.monotonic()
        self.assertEqual(daemon.stop(30), 1)
        self.assertLess(time.monotonic() - begun, 12 * SLOW)
        self.assertRegex(daemon.tail(), "runs? again when (their|its) lease ends")
        self.redis.signal(signal.SIGCONT)
        self.check_audit()


class Service(World):
    """What a service manager sees."""

    handlers = {"nap.lua": NAP}

    def test_notify__ready_watchdog_stopping(self):
        path = os.path.join(self.home, "notify.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.settimeout(10 * SLOW)
            daemon = self.start(NOTIFY_SOCKET=path, WATCHDOG_USEC=400000)
            seen = b""
            while b"WATCHDOG=1" not in seen:
                seen += listener.recv(4096) + b"\n"
            self.assertTrue(seen.startswith(b"READY=1\n"), seen)
            self.assertIn(b"STATUS=1 type", seen)
            daemon.signal(signal.SIGTERM)
            while b"STOPPING=1" not in seen:
                seen += listener.recv(4096) + b"\n"
            self.assertEqual(daemon.exit_code(), 0)

    def test_hup__reloads_and_says_so(self):
        daemon = self.start(LUNAQ_WATCH="false")
        self.write("handlers/hello.lua", HELLO)
        daemon.signal(signal.SIGHUP)
        self.assertIn("2 types", daemon.wait("reloaded: ")["msg"])

    def test_hup__with_a_broken_file__is_refused_with_file_and_line(self):
        daemon = self.start(LUNAQ_WATCH="false")
        self.write("handlers/hello.lua", "return {\n  run = = 1\n}\n")
        daemon.signal(signal.SIGHUP)
        line = daemon.wait("reload refused")
        self.assertIn("hello.lua:", line["msg"])
        task = self.enqueue("nap", {"seconds": 0})
        daemon.wait("succeeded", task_id=task)


class CannotStart(World):
    """Each is one line a person can act on, exit 1, within seconds."""

    handlers = {"nap.lua": NAP}

    def refused(self, *parts, args=(), code=1, **env):
        begun = time.monotonic()
        daemon = self.start(ready=False, args=args, **env)
        self.assertEqual(daemon.exit_code(15), code, daemon.tail())
        self.assertLess(time.monotonic() - begun, 10 * SLOW)
        errors = [l["msg"] for l in daemon.lines if l["level"] in ("error", "")]
        self.assertEqual(len(errors), 1, errors)
        for part in parts:
            self.assertIn(part, errors[0])
        self.assertEqual(self.r("KEYS", "asynq:servers*"), [])
        return errors[0]

    def test_broker__nobody_there(self):
        self.refused("cannot start", "/nowhere.sock", "LUNAQ_BROKER",
                     "is the server running?",
                     LUNAQ_BROKER="redis-socket:///nowhere.sock")

    def test_broker__port_refused(self):
        with socket.socket() as s:  # bound, not listening: surely refused
            s.bind(("127.0.0.1", 0))
            where = "127.0.0.1:%d" % s.getsockname()[1]
            self.refused(where, "refused", "REDIS_ADDR", LUNAQ_BROKER=None,
                         REDIS_ADDR=where)

    def test_broker__accepts_and_is_silent(self):
        path = os.path.join(self.home, "silent.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen(5)
            self.refused("cannot start", path, LUNAQ_BROKER="redis-socket://" + path)

    def test_broker__password_is_wrong_and_not_shown(self):
        self.r("CONFIG", "SET", "requirepass", "right")
        self.addCleanup(self.r, "CONFIG", "SET", "requirepass", "")
        text = self.refused(
            "cannot start", LUNAQ_BROKER=None,
            REDIS_URL="redis-socket://:wr0ng@" + self.redis.path)
        self.assertNotIn("wr0ng", text)

    def test_broker__scheme_unknown(self):
        self.refused("rdis", "known: sqlite, redis", LUNAQ_BROKER="rdis://127.0.0.1")

    def test_database__nobody_there__password_is_not_shown(self):
        text = self.refused(
            "cannot start", "DATABASE_URL", "is PostgreSQL running there",
            DATABASE_URL="postgres://app:s3cret@/db?host=/nowhere")
        self.assertNotIn("s3cret", text)

    def test_config__with_a_typo(self):
        self.write("lunaq.conf.lua", "return { concurency = 3 }")
        self.refused('lunaq.conf.lua: unknown key "concurency"',
                     'did you mean "concurrency"?')

    def test_config__wrong_unit_in_a_variable(self):
        self.refused("LUNAQ_LEASE", "10s", LUNAQ_LEASE="30 parsecs")

    def test_flag__unknown__is_usage(self):
        self.refused("--concurency", "did you mean --concurrency?",
                     args=["--concurency=3"], code=2)

    def test_cron_spec__is_wrong(self):
        self.write("lunaq.conf.lua",
                   "return { cron = { spec = '61 * * * *', type = 'nap' } }")
        self.refused("61 * * * *", "minute")

    def test_handler__is_broken(self):
        self.write("handlers/bad.lua", "return {\n  run = function( end\n}\n")
        self.refused("cannot start", "bad.lua:2")

    def test_handler__misspelt_option(self):
        self.write("handlers/bad.lua",
                   "return { max_rety = 3, run = function() end }\n")
        self.refused("bad.lua", "max_rety", "max_retry")

    def test_handler__two_files_claim_one_type(self):
        self.write("handlers/bad.lua",
                   "return { type = 'nap', run = function() end }\n")
        self.refused("bad.lua", "nap.lua")

    def test_home__without_handlers__says_where_it_looked(self):
        os.rename(os.path.join(self.home, "handlers"), os.path.join(self.home, "x"))
        self.refused("no handlers: looked for", "handlers/", self.home)

    def test_handlers__setting_names_no_folder(self):
        self.refused("handlers: ", "nope", "LUNAQ_HANDLERS", LUNAQ_HANDLERS="nope")


class Actions(World):
    """Flags that do not start anything."""

    handlers = {"nap.lua": NAP}

    def run_to_end(self, *args, **env):
        daemon = self.start(ready=False, args=args, **env)
        code = daemon.exit_code()
        return code, "\n".join(daemon.text)

    def test_version(self):
        code, text = self.run_to_end("--version")
        self.assertEqual(code, 0)
        self.assertRegex(text, r"^lunaqd \d+\.\d+\.\d+$")

    def test_help(self):
        code, text = self.run_to_end("--help")
        self.assertEqual(code, 0)
        self.assertIn("--shutdown-timeout TIME", text)

    def test_check__good_and_bad(self):
        self.write("lunaq.conf.lua", "return { concurrency = 3 }")
        self.assertEqual(self.run_to_end("--check"), (0, "lunaq.conf.lua: ok"))
        self.write("lunaq.conf.lua", "return { concurrency = 'x' }")
        code, text = self.run_to_end("--check")
        self.assertEqual(code, 1)
        self.assertIn("concurrency", text)

    def test_check__what_only_the_start_used_to_find(self):
        entry = 'cron = { { spec = "%s", type = "hello"%s } }'
        for config, part in (
                (entry % ("61 * * * *", ""), "61"),
                (entry % ("@daily", ', tz = "Mars/Base"'), "Mars/Base"),
                (entry % ("@daily", ""), None),
                ('timezone = "Mars/Base"', "timezone"),
                ('migrations = "schema"', "schema is not a folder"),
                ('broker = "sqlite:q.db", durable = "replica"', "has no replicas"),
                ('broker = "http://h"', "broker"),
                ('broker = "redis://h", prefix = "a:b"', "prefix"),
                ('broker = "rediss://h", redis = { ca = "no.pem" }', "no.pem"),
                ('broker = "redis://h", prefix = "a"', None)):
            with self.subTest(config):
                self.write("lunaq.conf.lua", "return { " + config + " }")
                code, text = self.run_to_end("--check", LUNAQ_BROKER="")
                self.assertEqual(code, 1 if part else 0, text)
                self.assertIn(part or "ok", text)
                self.assertEqual(len(text.splitlines()), 1)
                self.assertIn("lunaq.conf.lua: ", text)

    def test_print_config__masks_secrets_and_names_sources(self):
        self.write("lunaq.conf.lua", "return { concurrency = 3 }")
        code, text = self.run_to_end(
            "--print-config", DATABASE_URL="postgres://app:s3cret@h/db")
        self.assertEqual(code, 0)
        self.assertIn("concurrency = 3, -- lunaq.conf.lua", text)
        self.assertIn('"postgres://app:***@h/db", -- DATABASE_URL', text)
        self.assertNotIn("s3cret", text)

    def test_unknown_variable__is_a_warning(self):
        daemon = self.start(LUNAQ_CONCURENCY=3)
        line = daemon.find('"LUNAQ_CONCURENCY"')[0]
        self.assertEqual(line["level"], "warn")
        self.assertIn("did you mean LUNAQ_CONCURRENCY?", line["msg"])

    def test_log__is_json_lines_when_not_on_a_terminal(self):
        daemon = self.start(LUNAQ_LOG_FORMAT=None)
        daemon.stop()
        for text in daemon.text:
            self.assertIn("level", json.loads(text))


if __name__ == "__main__":
    unittest.main()
