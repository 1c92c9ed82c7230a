"""An application on either broker, worked through the command line alone: the
same cases run on Redis and on a queue file.

    class Cases(Both): …
    on_both(globals(), Cases)
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import INTERRUPT, SLOW, Daemon, Redis, World, wait_for

LUNAQ = os.environ.get("TEST_LUNAQ", "lunaq")


class Both:
    broker = "sqlite"
    handlers = {}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lunaq-both-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.home = os.path.join(self.folder, "home")
        os.makedirs(os.path.join(self.home, "handlers"))
        self.env = {}
        if self.broker == "redis":
            self.redis = Redis(self.folder)
            self.addCleanup(self.redis.stop)
            self.env["LUNAQ_BROKER"] = self.redis.url
        self.daemons = []
        self.addCleanup(self._end)
        for name, source in self.handlers.items():
            self.write("handlers/" + name, source)

    _end = World._end
    write = World.write

    def start(self, ready=True, **env):
        values = {"LUNAQ_LOG_FORMAT": "json", **self.env}
        if INTERRUPT:
            values["LUNAQ_INTERRUPT"] = INTERRUPT
        values.update({k: str(v) for k, v in env.items()})
        daemon = Daemon(self.home, values, name=f"lunaqd {len(self.daemons) + 1}")
        self.daemons.append(daemon)
        return daemon.ready() if ready else daemon

    def lunaq(self, *args, code=0):
        """What the command prints, on stdout or, when it fails, on stderr."""
        clean = {k: v for k, v in os.environ.items()
                 if not re.match(r"LUNAQ_|REDIS_|DATABASE_", k)}
        clean.update(self.env)
        done = subprocess.run(
            [LUNAQ, *args], cwd=self.home, env=clean, capture_output=True,
            text=True, timeout=60 * SLOW, check=False)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stderr if code else done.stdout

    def enqueue(self, *args):
        """A task's id."""
        return self.lunaq("enqueue", *args).split()[0]

    def show(self, task):
        return json.loads(self.lunaq("task", "show", task, "--json"))

    def wait_state(self, state, task, seconds=15):
        """What `task show` says, once the task is in that state."""
        def there():
            row = self.show(task)
            return row if row["state"] == state else None
        return wait_for(f"{task} is {state}", there, seconds, 0.05)

    def counters(self, queue="default"):
        """(processed, failed) today."""
        row = json.loads(self.lunaq("queue", "show", queue, "--json"))
        return row["processed_today"], row["failed_today"]


# Runs the Lua text of its payload; what that returns is logged as JSON.
DO = """
    return { max_retry = 0, run = function(task)
      local f = assert(load(task.payload.lua, "payload"))
      log.info("did", { of = task.id, value = json.encode(f(task)) })
    end }
"""


class Doing(Both):
    """`do` runs Lua from a payload; nobody serves the queue `idle`."""

    def do(self, daemon, lua):
        """What the Lua text returns, in a handler."""
        task = self.enqueue("do", "lua=" + lua)
        wait_for("the text has run", lambda: daemon.find("did", of=task) or
                 daemon.find("archived", task_id=task))
        done = daemon.find("did", of=task)
        self.assertTrue(done, daemon.tail())
        return json.loads(done[0]["value"])


def on_both(module, *all_cases):
    """Makes CasesRedis and CasesSqlite of each, for unittest to find."""
    for cases in all_cases:
        for broker in ("redis", "sqlite"):
            name = cases.__name__ + broker.capitalize()
            module[name] = type(name, (cases, unittest.TestCase),
                                {"broker": broker, "__module__": module["__name__"]})
