"""Processes, a private Redis, and what the kernel says of both."""
import os
import random
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")

running = []


def start(argv, **options):
    process = subprocess.Popen(argv, start_new_session=True, **options)
    running.append(process)
    return process


def stop(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    running.remove(process)


def failed(process):
    """Whether it ended other than by success.  A limit ends with the queue: it
    is left unreaped, so that its CPU time can still be read."""
    state = os.waitid(os.P_PID, process.pid,
                      os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return state is not None and state.si_status != 0


def stop_all():
    for process in list(running):
        process.kill()
        process.wait()


def wait_for(condition, seconds, otherwise, pause=0.05):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("compare: " + otherwise)
        time.sleep(pause)


def cpu_seconds(pid):
    """Of all threads that live, to the nanosecond where the kernel counts so."""
    total = 0
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as f:
                total += int(f.read().split()[0])
        return total / 1e9
    except OSError:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def output(argv, timeout=300):
    """The "name value" lines that a bench program prints, as numbers."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=timeout)
    if done.returncode:
        raise SystemExit("compare: failed: " + " ".join(argv))
    pairs = (line.split() for line in done.stdout.decode().splitlines())
    return {name: float(value) for name, value in pairs}


def first_line(argv):
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE)
    except OSError:
        return ""
    return (done.stdout.decode().splitlines() or [""])[0]


def describe():
    """The machine in one line: processor, CPUs, memory, kernel."""
    model = memory = "?"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    with open("/proc/meminfo") as f:
        memory = "%.0f GiB" % (int(f.readline().split()[1]) / 1048576)
    return "%s, %d CPUs, %s, Linux %s" % (
        model, os.cpu_count(), memory, os.uname().release.split("-")[0])


def free_port(bus):
    while True:
        port = random.randint(12000, 22000) if bus else 0
        try:
            with socket.socket() as probe, socket.socket() as above:
                probe.bind(("127.0.0.1", port))
                if bus:
                    above.bind(("127.0.0.1", port + 10000))
                return probe.getsockname()[1]
        except OSError:
            pass # taken


class Redis:
    """A private server, and the few commands needed to watch it.  bus: the port
    that is 10,000 higher is free, too, as a cluster's node needs it."""

    def __init__(self, folder, bus=False, options=()):
        self.port = free_port(bus)
        self.process = start(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port),
             "--save", "", "--appendonly", "no", "--dir", folder, *options],
            stdout=subprocess.DEVNULL)
        self.address = "127.0.0.1:%d" % self.port
        self.url = "redis://" + self.address
        self.socket = None
        wait_for(self.connect, 10, "redis-server does not answer")

    def connect(self):
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.port), 60)
        except OSError:
            return False
        self.file = self.socket.makefile("rb")
        return True

    def __call__(self, *words):
        words = [str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.file.read(size + 2)[:-2]
        return int(rest) if kind == b":" else rest

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)
