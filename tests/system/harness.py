"""What the system tests stand on: private Redis and PostgreSQL servers on Unix
sockets, daemons with a folder of handlers of their own, and an audit of what
is in the broker.  Standard library only.

Every program that is started is ended by its process id, also when a test
fails.  Tests wait for events with a deadline, never for a duration.
TEST_LUNAQD names the daemon; TEST_SLOW (1) stretches deadlines, for
sanitizers and busy machines; TEST_INTERRUPT is the daemons' `interrupt`.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import threading
import time
import unittest
import uuid

LUNAQD = os.environ.get("TEST_LUNAQD", "lunaqd")
SLOW = float(os.environ.get("TEST_SLOW", "1"))
PATIENCE = 3 * SLOW  # what never comes may be waited for longer on a busy machine
INTERRUPT = os.environ.get("TEST_INTERRUPT")


def wait_for(what, probe, seconds=10.0, every=0.01):
    """Calls probe() until it is true and returns its value."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s in vain: {what}")
        time.sleep(every)


def best_of(times, limit, measure):
    """A bound that polling or blocking would break every time, and other work
    on the machine only now and then: one measurement within it is enough."""
    seen = []
    for _ in range(times):
        seen.append(measure())
        if seen[-1] < limit * SLOW:
            return
    raise AssertionError(f"none of {seen} is below {limit * SLOW}")


def stop_process(process, signum=signal.SIGTERM, seconds=20):
    """Ends a program that we started and returns its exit code."""
    if process.poll() is None:
        process.send_signal(signum)
        try:
            process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


# ---- Redis -----------------------------------------------------------------


class RedisError(Exception):
    pass


class Resp:
    """A client that speaks RESP 2; bytes in, bytes out."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout * PATIENCE)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    @staticmethod
    def encode(args):
        out = [b"*%d\r\n" % len(args)]
        for arg in args:
            if not isinstance(arg, bytes):
                arg = str(arg).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
        return b"".join(out)

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise ConnectionError(f"not RESP: {line!r}")

    def pipeline(self, commands):
        commands = list(commands)
        for i in range(0, len(commands), 500):
            self.socket.sendall(b"".join(map(self.encode, commands[i : i + 500])))
            for _ in commands[i : i + 500]:
                reply = self.read()
                if isinstance(reply, RedisError):
                    raise reply

    def __call__(self, *args):
        self.socket.sendall(self.encode(args))
        reply = self.read()
        if isinstance(reply, RedisError):
            raise reply
        return reply


class Redis:
    def __init__(self, folder, aof=False):
        self.folder, self.aof = folder, aof
        self.path = os.path.join(folder, "redis.sock")
        self.url = "redis-socket://" + self.path
        self.process = None
        self.start()

    def start(self):
        log = open(os.path.join(self.folder, "redis.log"), "ab")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path,
             "--unixsocketperm", "700", "--save", "", "--dir", self.folder,
             "--appendonly", "yes" if self.aof else "no",
             "--appendfsync", "always" if self.aof else "no"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        self.client = wait_for("redis-server answers", self._connect)

    def _connect(self):
        if self.process.poll() is not None:
            raise AssertionError("redis-server ended: see redis.log")
        client = None
        try:
            client = Resp(self.path)
            client("PING")  # fails while it loads
            return client
        except (OSError, RedisError):
            if client:
                client.close()
            return None

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def signal(self, signum):
        self.process.send_signal(signum)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.client.close()
            stop_process(self.process)


# ---- PostgreSQL ------------------------------------------------------------


class Postgres:
    """A cluster in `folder`; as root it runs as the user of its package."""

    def __init__(self, folder, connections=300):
        self.folder = os.path.join(folder, "postgres")
        os.mkdir(self.folder, 0o700)
        versions = sorted(os.listdir("/usr/lib/postgresql"), key=float)
        self.bin = f"/usr/lib/postgresql/{versions[-1]}/bin"
        self.url = f"postgres://lunaq@/postgres?host={self.folder}"
        self.connections = connections
        self.user = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chmod(folder, 0o711)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.data = os.path.join(self.folder, "data")
        subprocess.run(
            [self.bin + "/initdb", "-D", self.data, "-U", "lunaq", "-A", "trust",
             "-E", "UTF8", "--locale", "C", "-N"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self.user)
        self.process = None
        self.start()

    def start(self):
        log = open(os.path.join(self.folder, "..", "postgres.log"), "ab")
        self.process = subprocess.Popen(
            [self.bin + "/postgres", "-D", self.data, "-k", self.folder,
             "-c", "listen_addresses=", "-c", "fsync=off",
             "-c", f"max_connections={self.connections}"],
            cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            **self.user)
        log.close()
        wait_for("PostgreSQL answers",
                 lambda: self._psql("select 1", check=False).returncode == 0, 30, 0.05)

    def _psql(self, sql, check=True):
        done = subprocess.run(
            [self.bin + "/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url,
             "-F", "\t", "-c", sql],
            check=False, capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"{sql}: {done.stderr}")
        return done

    def rows(self, sql):
        """Rows as lists of text."""
        out = self._psql(sql).stdout
        return [line.split("\t") for line in out.splitlines()]

    def value(self, sql):
        return self.rows(sql)[0][0]

    def execute(self, sql):
        self._psql(sql)

    def stop(self, signum=signal.SIGQUIT):
        """SIGQUIT ends all connections at once, SIGINT politely."""
        if self.process:
            stop_process(self.process, signum)


# ---- tasks -----------------------------------------------------------------


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value) if value else b""
    if isinstance(value, str):
        value = value.encode()
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def message(kind, payload, task_id, queue, retry=25, timeout=1800, retention=0):
    """A task in Asynq's wire format, written by hand: an oracle of its own."""
    return (_field(1, kind) + _field(2, payload) + _field(3, task_id) +
            _field(4, queue) + _field(5, retry) + _field(8, timeout) +
            _field(12, retention))


def decode(data):
    """{field number: last value} of a message."""
    fields, i = {}, 0

    def varint():
        nonlocal i
        value = shift = 0
        while True:
            byte = data[i]
            i += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while i < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, i = data[i : i + value], i + value
        fields[key >> 3] = value
    return fields


def enqueue_commands(kind, payload=b"{}", queue="default", task_id=None, **options):
    task_id = task_id or str(uuid.uuid4())
    if not isinstance(payload, (bytes, str)):
        payload = json.dumps(payload)
    q = f"asynq:{{{queue}}}:"
    return task_id, [
        ("SADD", "asynq:queues", queue),
        ("HSET", f"{q}t:{task_id}", "msg", message(kind, payload, task_id, queue, **options),
         "state", "pending", "pending_since", time.time_ns()),
        ("LPUSH", f"{q}pending", task_id)]


SETS = {"pending": "list", "active": "list", "scheduled": "zset", "retry": "zset",
        "archived": "zset", "completed": "zset"}


def state_of(redis, queue="default"):
    """{state: [ids]} of a queue."""
    q = f"asynq:{{{queue}}}:"
    return {state: [i.decode() for i in (
        redis("LRANGE", q + state, 0, -1) if kind == "list"
        else redis("ZRANGE", q + state, 0, -1))] for state, kind in SETS.items()}


def audit(redis, queue="default"):
    """What is wrong with a queue: each task in one state, its hash says which,
    active = lease, no id twice."""
    q = f"asynq:{{{queue}}}:"
    script = """
        local q, out, where = KEYS[1], {}, {}
        local function add(state, ids)
          for _, id in ipairs(ids) do
            if where[id] then out[#out+1] = id..' in '..where[id]..' and '..state end
            where[id] = state
            local s = redis.call('HGET', q..'t:'..id, 'state')
            if not s then out[#out+1] = id..' in '..state..' has no task'
            elseif s ~= state then out[#out+1] = id..' in '..state..' says '..s end
          end
        end
        for _, s in ipairs{'pending','active'} do add(s, redis.call('LRANGE', q..s, 0, -1)) end
        for _, s in ipairs{'scheduled','retry','archived','completed'} do
          add(s, redis.call('ZRANGE', q..s, 0, -1)) end
        local leases = {}
        for _, id in ipairs(redis.call('ZRANGE', q..'lease', 0, -1)) do
          leases[id] = true
          if where[id] ~= 'active' then out[#out+1] = id..' has a lease, is '..tostring(where[id]) end
        end
        for id, s in pairs(where) do
          if s == 'active' and not leases[id] then out[#out+1] = id..' active without lease' end
        end
        for _, key in ipairs(redis.call('KEYS', (q..'t:*'))) do
          local id = key:sub(#q + 3)
          if not where[id] then out[#out+1] = id..' is nowhere' end
        end
        return out"""
    return [line.decode() for line in redis("EVAL", script, 1, q)]


# ---- the daemon ------------------------------------------------------------


class Daemon:
    """A lunaqd; its log is JSON lines, kept with the time they came."""

    def __init__(self, home, env, args=(), name=""):
        clean = {k: v for k, v in os.environ.items()
                 if not re.match(r"LUNAQ_|REDIS_|DATABASE_|WORKER_|NOTIFY_|JOURNAL_", k)}
        clean.update(env)
        self.name = name or "lunaqd"
        self.lines, self.text = [], []
        self._lock = threading.Condition()
        self.process = subprocess.Popen(
            [LUNAQD, *args], cwd=home, env=clean, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.process.stdout:
            text = raw.decode(errors="replace").rstrip("\n")
            try:
                line = json.loads(text)
            except ValueError:
                line = {"level": "", "msg": text}
            with self._lock:
                line["_at"] = time.monotonic()
                self.text.append(text)
                self.lines.append(line)
                self._lock.notify_all()

    def find(self, msg=None, since=0, **fields):
        """Lines whose msg contains `msg` and whose fields are equal."""
        with self._lock:
            lines = self.lines[since:]
        return [l for l in lines
                if (msg is None or msg in str(l.get("msg", "")))
                and all(l.get(k) == v for k, v in fields.items())]

    def count(self):
        with self._lock:
            return len(self.lines)

    def wait(self, msg=None, seconds=10.0, since=0, **fields):
        """The first such line."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            found = self.find(msg, since, **fields)
            if found:
                return found[0]
            if self.process.poll() is not None:
                self._reader.join(5)
                found = self.find(msg, since, **fields)
                if found:
                    return found[0]
                raise AssertionError(
                    f"{self.name} ended ({self.process.returncode}) without "
                    f"{msg!r} {fields}:\n" + self.tail())
            if time.monotonic() > end:
                raise AssertionError(
                    f"{self.name}: no {msg!r} {fields} within {seconds * PATIENCE:.0f} s:\n"
                    + self.tail())
            with self._lock:
                self._lock.wait(0.05)

    def ready(self, seconds=15):
        self.wait("lunaqd started", seconds)
        return self

    def tail(self, count=25):
        with self._lock:
            return "\n".join(self.text[-count:])

    def signal(self, signum):
        self.process.send_signal(signum)

    def exit_code(self, seconds=20):
        try:
            code = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self.tail()}") from None
        self._reader.join(5)
        return code

    def stop(self, seconds=20):
        """TERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.exit_code(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- a test's world --------------------------------------------------------


class World(unittest.TestCase):
    """One Redis (and PostgreSQL when `database` is set) a class, a home with
    handlers a test.  `handlers` = {"a/b.lua": source}."""

    database = False
    aof = False
    handlers = {}
    schema = None  # SQL of a first migration

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lunaq-sys-")
        cls.redis = cls.postgres = None
        cls.addClassCleanup(cls._end_class)
        cls.redis = Redis(cls.folder, cls.aof)
        if cls.database:
            cls.postgres = Postgres(cls.folder)

    @classmethod
    def _end_class(cls):
        for server in (cls.redis, cls.postgres):
            if server:
                server.stop()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        self.r = self.redis.client
        self.r("FLUSHALL")
        self.home = tempfile.mkdtemp(prefix="home-", dir=self.folder)
        os.mkdir(os.path.join(self.home, "handlers"))
        for name, source in self.handlers.items():
            self.write("handlers/" + name, source)
        if self.database:
            self.postgres.execute("drop schema public cascade; create schema public")
            if self.schema:
                self.write("migrations/0001_first.sql", self.schema)
        self.daemons = []
        self.addCleanup(self._end)

    def _end(self):
        for daemon in self.daemons:
            if daemon.process.poll() is None:
                daemon.kill()
            daemon.process.stdout.close()
        for daemon in self.daemons:
            if any("Sanitizer:" in text for text in daemon.text):
                self.fail(f"{daemon.name}:\n" + "\n".join(daemon.text))

    def write(self, name, source):
        """Replaces a file of the home at once, as editors do."""
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + "~", "w", encoding="utf-8") as f:
            f.write(textwrap.dedent(source))
        os.rename(path + "~", path)

    def start(self, ready=True, args=(), name="", **env):
        """A daemon on this class's servers; env overrides variables."""
        values = {"LUNAQ_BROKER": self.redis.url, "LUNAQ_LOG_FORMAT": "json"}
        if self.postgres:
            values["DATABASE_URL"] = self.postgres.url
        if INTERRUPT:
            values["LUNAQ_INTERRUPT"] = INTERRUPT
        values.update({k: str(v) for k, v in env.items() if v is not None})
        for k, v in env.items():
            if v is None:
                values.pop(k, None)
        daemon = Daemon(self.home, values, args, name or f"lunaqd {len(self.daemons) + 1}")
        self.daemons.append(daemon)
        return daemon.ready() if ready else daemon

    def enqueue(self, kind, payload=b"{}", **options):
        task_id, commands = enqueue_commands(kind, payload, **options)
        self.r.pipeline(commands)
        return task_id

    def enqueue_many(self, count, kind, payload=None, **options):
        ids, all_commands = [], []
        for i in range(count):
            task_id, commands = enqueue_commands(
                kind, payload(i) if payload else b"{}", **options)
            ids.append(task_id)
            all_commands += commands
        self.r.pipeline(all_commands)
        return ids

    def state(self, queue="default"):
        return state_of(self.r, queue)

    def hash(self, task_id, queue="default"):
        flat = self.r("HGETALL", f"asynq:{{{queue}}}:t:{task_id}")
        return {k.decode(): v for k, v in zip(flat[::2], flat[1::2])}

    def error_of(self, task_id, queue="default"):
        return decode(self.hash(task_id, queue)["msg"]).get(7, b"").decode()

    def wait_state(self, state, task_id, queue="default", seconds=15):
        wait_for(f"{task_id} is {state}",
                 lambda: task_id in self.state(queue)[state], seconds, 0.02)

    def wait_empty(self, queue="default", seconds=30):
        """Until nothing is pending, active, scheduled or waiting for a retry."""
        keys = [f"asynq:{{{queue}}}:{s}" for s in ("pending", "active")]
        zsets = [f"asynq:{{{queue}}}:{s}" for s in ("scheduled", "retry")]
        wait_for(f"queue {queue} is empty", lambda: not any(
            [self.r("LLEN", k) for k in keys] + [self.r("ZCARD", k) for k in zsets]),
            seconds, 0.02)

    def check_audit(self, *queues):
        for queue in queues or ("default",):
            wrong = audit(self.r, queue)
            self.assertEqual(wrong, [], f"audit of {queue}")
