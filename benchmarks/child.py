"""A fresh process for one measurement: memory and start-up mean something only there."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(module, environment=None, **arguments):
    """Run `python -m benchmarks.<module>` with the arguments, and return what it answers."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"benchmarks.{module} {arguments} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def answer(function):
    """What a module does in the fresh process: call the function with the arguments, and print what it returns."""
    print(json.dumps(function(**json.loads(sys.argv[1]))))
