"""A real browser for tests: Chromium without a window, told what to do over two pipes.

It is the DevTools protocol: a message is JSON and ends with a zero byte. Chromium reads from file
descriptor 3 and writes to 4 (--remote-debugging-pipe), so nothing needs to be installed but itself.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OPTIONS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-quic", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--hide-scrollbars", "--remote-debugging-pipe", "about:blank"),
)
# Gives the child the two pipes as 3 and 4, which subprocess itself cannot.
MOVE_PIPES = """
import os, sys
ends = [os.dup(int(end)) for end in sys.argv[1:3]]
high = [os.dup2(end, 50 + number) for number, end in enumerate(ends)]
os.dup2(high[0], 3), os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """One tab of a browser. A context manager, which ends the browser.

    Attributes:
        requests: the address of everything that a page has asked for.
        problems: errors of the scripts of pages.
    """

    def __init__(self):
        self.requests, self.problems = [], []
        self._number, self._rest, self._session = 0, b"", None
        self._leaving = contextlib.ExitStack()

    def __enter__(self):
        profile = self._leaving.enter_context(
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        )
        its_input, self._to = os.pipe()
        self._from, its_output = os.pipe()
        command = [sys.executable, "-c", MOVE_PIPES, str(its_input), str(its_output), PROGRAM]
        command += [f"--user-data-dir={profile}", *OPTIONS]
        if getattr(os, "getuid", lambda: 1)() == 0:
            command.insert(-1, "--no-sandbox")  # it refuses to be root otherwise
        self._process = subprocess.Popen(
            command, pass_fds=(its_input, its_output), stderr=subprocess.DEVNULL
        )
        os.close(its_input), os.close(its_output)
        self._leaving.callback(self._end)
        page = next(
            target
            for target in self.call("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        )
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_problem):
        self._leaving.close()

    def _end(self):
        self._process.kill()
        self._process.wait()
        os.close(self._to), os.close(self._from)

    def call(self, method, **parameters):
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self):
        while b"\0" not in self._rest:
            content = os.read(self._from, 1 << 20)
            if not content:
                raise RuntimeError("the browser has gone")
            self._rest += content
        message, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(message)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"])
        return message

    def open(self, address):
        """Open a page, and wait until it has been loaded."""
        self.call("Page.navigate", url="about:blank")  # so that another #part is a new page, too
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, script, seconds=20):
        """Wait until an expression is true in the page."""
        ending = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError):  # between two pages
                if self.run(script):
                    return
            if time.monotonic() > ending:
                raise AssertionError(f"not so after {seconds} s: {script}")
            time.sleep(0.02)

    def press(self, key):
        """Press a key, as DevTools calls it: ArrowLeft, Home, Tab."""
        text = {"text": " ", "code": "Space"} if key == " " else {"code": key}
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, " ": 32, "Tab": 9}
        for kind in ("keyDown", "keyUp"):
            code = codes[key]
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    def mouse(self, kind, x, y):
        """Move the mouse, press or release its left button: mouseMoved, mousePressed, …"""
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )

    def resize(self, width, height, dark=False):
        """Give the page another size, in pixels, and light or dark colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
