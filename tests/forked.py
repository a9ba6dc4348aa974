"""Programs in processes of their own, forked from one that has imported the package: none waits for its imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

PARENT = """
import json, os, signal, sys, traceback
import venhancer.cli.enhance, venhancer.enhance, venhancer.planning.machine, venhancer.weights
from venhancer.cli.main import main
"a".encode("idna")
for line in sys.stdin:
    asked = json.loads(line)
    number = os.fork()
    if number == 0:
        signal.alarm(300)  # seconds, after which it has hung
        sys.stdin = open(os.devnull)
        os.chdir(asked["folder"])
        for stream, path in enumerate(asked["streams"], 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = ["venhancer", *asked["words"]]
        code = 0
        try:
            exec(asked["program"], {"__name__": "__main__"})
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    status = os.waitpid(number, 0)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
MAIN = "\nimport sys\nfrom venhancer.cli.main import main\nmain(sys.argv[1:])"
"""What a program ends with to run the command line."""


class Forked:
    """Runs programs one after the other, each in a process that starts as this one's parent is. A context manager.

    Args:
        streams: a folder for what they print.
    """

    def __init__(self, streams: Path) -> None:
        self._streams = [str(streams / name) for name in ("stdout", "stderr")]
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the current folder with these arguments, and return its end as `subprocess.run` does."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        asked = {"folder": str(Path.cwd()), "streams": self._streams, "program": program, "words": words}
        self._parent.stdin.write(f"{json.dumps(asked)}\n")
        self._parent.stdin.flush()
        code = int(self._parent.stdout.readline())
        stdout, stderr = (Path(path).read_text(encoding="utf-8") for path in self._streams)
        return subprocess.CompletedProcess([program, *words], code, stdout, stderr)
