"""`lunaq dash` on a terminal: what it shows, its keys, small screens, and how it
behaves without one."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import unittest

from both import LUNAQ, Both
from harness import wait_for


class Screen:
    """A program on a terminal of its own; what it draws is collected."""

    def __init__(self, args, cwd, env, rows=24, columns=120):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.master, self.text = master, ""
        self.process = subprocess.Popen(
            args, cwd=cwd, env={**env, "TERM": "vt100"}, stdin=slave, stdout=slave,
            stderr=slave, close_fds=True, start_new_session=True)
        os.close(slave)

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.text += data.decode(errors="replace")
        # Without the terminal's commands.
        return re.sub(r"\x1b[\[()][0-9;?]*[A-Za-z0-9]|\x1b[=>]|\x0f|\x0e|\$<\d+>", " ", self.text)

    def wait(self, text, seconds=10):
        wait_for(f"'{text}' is shown", lambda: text in self.read(), seconds, 0.05)

    def press(self, keys):
        self.text = ""
        os.write(self.master, keys.encode())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


class Dash(Both, unittest.TestCase):
    broker = "redis"
    handlers = {"hello.lua": "return function() end",
                "fail.lua": "return { max_retry = 0, run = function() error('no luck') end }"}

    def dash(self, *args, **size):
        env = {**os.environ, **self.env}
        screen = Screen([LUNAQ, "dash", *args], self.home, env, **size)
        self.addCleanup(screen.end)
        return screen

    def test_queues_tasks_and_a_task__are_shown_and_left(self):
        self.start()
        task = self.enqueue("fail", "k=value-of-k", "--queue", "low")
        self.wait_state("archived", task)
        self.enqueue("hello", "--queue", "later", "--process-in", "1h")
        screen = self.dash()
        screen.wait("QUEUE")
        screen.wait("later")
        screen.wait("1 server")
        screen.press("s")
        screen.wait("HOST")
        screen.press("q")
        screen.wait("later")
        screen.press("j\r")  # the second queue, low: what it has
        screen.wait("no luck")
        screen.press("\t")
        screen.wait("no completed tasks")
        screen.press("h")
        screen.wait("no luck")
        screen.press("\r")
        screen.wait('{"k":"value-of-k"}')
        screen.press("?")
        screen.wait("It only looks")
        screen.press("qqqq")
        self.assertEqual(screen.process.wait(20), 0)

    def test_new_tasks__appear_by_themselves(self):
        screen = self.dash("--refresh", "1s")
        screen.wait("no queues")
        self.enqueue("hello", "--queue", "fresh")
        screen.wait("fresh")
        screen.press("\x03")
        self.assertEqual(screen.process.wait(20), 0)

    def test_refresh__is_as_often_as_asked(self):
        seldom, often = self.dash("--refresh", "1h"), self.dash("--refresh", "1s")
        seldom.wait("no queues")
        for name in "first", "second", "third", "fourth":
            self.enqueue("hello", "--queue", name)
            often.wait(name)  # at least a second later each
        self.assertNotIn("first", seldom.read())
        seldom.press("r")
        seldom.wait("fourth")

    def test_task_that_is_gone__is_told_and_no_other_shown(self):
        for name in "first", "other":
            self.enqueue("hello", f"k=payload-of-{name}", "--queue", "later",
                         "--task-id", f"task-{name}", "--process-in", "1h")
        screen = self.dash("--refresh", "1h")
        screen.wait("later")
        screen.press("\r")
        screen.wait("task-other")
        self.lunaq("task", "delete", "task-other")
        screen.press("j\r")
        screen.wait("no task task-other")
        self.assertNotIn("payload-of-first", screen.read())
        screen.press("\x03")
        self.assertEqual(screen.process.wait(20), 0)

    def test_narrow_terminal__shows_what_matters(self):
        task = self.enqueue("hello", "--queue", "later", "--process-in", "1h")
        screen = self.dash(columns=40)
        screen.wait("later")
        screen.press("\r")
        screen.wait("queue later")
        screen.wait("scheduled 1")
        screen.wait(task[-8:])
        screen.wait("hello")
        screen.press("\r")
        screen.wait(task[:26])
        screen.wait(task[26:])
        screen.press("q")
        screen.press("h\t\t\t\t\t\t\t\t")  # to aggregating and round
        screen.wait("scheduled 1")
        screen.press("\t\t\t\t")
        screen.wait("aggregating 0")
        screen.press("\x03")
        self.assertEqual(screen.process.wait(20), 0)

    def test_tiny_terminal__is_no_trouble(self):
        self.enqueue("hello")
        for rows, columns in (1, 1), (3, 20), (5, 300):
            screen = self.dash(rows=rows, columns=columns)
            wait_for("it draws", screen.read)
            for key in "\r", "j", "\r", "j", "?", "q", "s":
                screen.press(key)
            screen.press("\x03")
            self.assertEqual(screen.process.wait(20), 0)

    def test_broker_that_goes__is_told_and_the_picture_stays(self):
        self.enqueue("hello", "--queue", "kept")
        screen = self.dash("--refresh", "1s")
        screen.wait("kept")
        self.redis.kill()
        screen.wait("trying again", 30)
        self.redis.start()
        self.enqueue("hello", "--queue", "after")
        screen.wait("after", 30)
        screen.press("\x03")
        self.assertEqual(screen.process.wait(20), 0)

    def test_terminated__gives_the_terminal_back(self):
        screen = self.dash()
        screen.wait("no queues")
        before = termios.tcgetattr(screen.master)[3]
        screen.process.send_signal(signal.SIGTERM)
        screen.process.wait(20)
        self.assertFalse(before & termios.ECHO)
        self.assertTrue(termios.tcgetattr(screen.master)[3] & termios.ECHO)

    def test_without_a_terminal__says_what_to_use(self):
        self.assertIn("lunaq stats", self.lunaq("dash", code=2))


if __name__ == "__main__":
    unittest.main()
