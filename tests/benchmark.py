"""How fast a training step is, beside the recipe of the document that a script comes from.

    python tests/benchmark.py                      # all, some 15 minutes on two cores
    python tests/benchmark.py cgan_fashion         # or some of them
    python tests/benchmark.py --devices            # two processes beside one, on Linux
    python tests/benchmark.py --quick              # fewer steps: 3 minutes
    python tests/benchmark.py --gpu-check          # instead: a check of the GPU, minutes

Each recipe runs in a process of its own and takes turns with the others, A B C A B C; medians are
compared, so that what a noisy machine does to one of them it does to the others, too.

document   tests/reference_recipes.py; the ratio is its time by ours. Ours has half-batches where
           some documents have whole ones, so "per image" compares the time for each image that
           discriminator or critic learn from.
mixed      ours with --mixed-precision: in bfloat16 where that is fast, in less time only there.
GFLOP      of convolutions and matrix products in a step, and how fast they are done, as a share of
           what this machine reaches on matrix products of 2048 x 2048, measured in the same run.
MB         the most memory of our process, with as many images as the full data set has
           (GauGAN: the drawn facades).

`gaugan_quarter` is gaugan_facades with `--width 0.25 --latent-dim 16`, for CPUs.
`recipe` is cgan_fashion with next to nothing in its layers, on two images of 4 x 4 pixels, and
without oneDNN, which takes 0.1 ms for a convolution however small it is: what is left is the cost
of the recipe itself.
"""

import contextlib
import itertools
import json
import math
import os
import platform
import socket
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common.arguments import ArgumentParser

import gpu_check

WARM_UP = 2
# Steps of a turn.
SCRIPTS = {"cgan_fashion": 8, "gan_fashion": 8, "cgan_mnist": 8, "wgan_gp_fashion": 3}
SCRIPTS |= {"gaugan_facades": 6, "gaugan_quarter": 24, "recipe": 160}
RECIPES = ("ours", "mixed", "document")
# What TensorFlow looks for before it turns oneDNN on by itself (tsl/util/onednn_env_vars.cc).
ONEDNN_FLAGS = {"avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"}


class Worker:
    """A process of its own that times the steps of one recipe when it is asked to."""

    def __init__(self, *arguments, onednn, core=None, tf_config=None):
        command = [sys.executable, str(Path(__file__).with_name("benchmark_worker.py")), *arguments]
        environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "01"[onednn]}
        if tf_config:
            environment["TF_CONFIG"] = json.dumps(tf_config)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        if core is not None:  # before TensorFlow counts the cores for its threads
            os.sched_setaffinity(self._process.pid, {core})

    def ask(self, count):
        """Have the next `count` steps timed."""
        with contextlib.suppress(BrokenPipeError):  # it has failed, as its answer will show
            print(count, file=self._process.stdin, flush=True)

    def median(self):
        """Median seconds of the steps that were asked for."""
        return statistics.median(self._answer())

    def facts(self):
        """End the process; returns what it knows of itself, a dict."""
        self._process.stdin.close()
        facts = self._answer()
        self._process.wait()
        return facts

    def stop(self):
        self._process.kill()
        self._process.wait()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a process of the benchmark has failed: {self._process.args}")
        return json.loads(line)


def compare(script, rounds, steps, quick, document_onednn, matmul):
    """Time all recipes of a script `rounds` times in turn; return a line of the table."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for recipe in RECIPES:
            onednn = document_onednn if recipe == "document" else True
            onednn = onednn and script != "recipe"
            arguments = [script, recipe, *["quick"] * quick]
            workers[recipe] = Worker(*arguments, onednn=onednn)
            stack.callback(workers[recipe].stop)
        for worker in workers.values():
            worker.ask(1 if quick else WARM_UP)
        for worker in workers.values():
            worker.median()
        turns = [{} for _ in range(rounds)]
        for turn, name in itertools.product(turns, RECIPES):
            workers[name].ask(steps)
            turn[name] = workers[name].median()
        facts = {name: worker.facts() for name, worker in workers.items()}
    seconds = {name: statistics.median(turn[name] for turn in turns) for name in RECIPES}
    ratios = sorted(turn["document"] / turn["ours"] for turn in turns)
    ratio, ours = statistics.median(ratios), facts["ours"]
    ms = [1000 * value for value in seconds.values()]
    rate = ours["gigaflop"] / seconds["ours"]
    return in_columns(
        f"{script} {ours['setting']}",
        " : ".join(f"{value:.{0 if value > 99 else 1}f}" for value in ms),
        " : ".join(f"{ours['batch_size'] / value:.0f}" for value in seconds.values()),
        f"{ratio:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
        f"{ratio * ours['seen'] / facts['document']['seen']:.2f}",
        f"{ours['gigaflop']:.1f}",
        f"{rate:.0f}",
        f"{rate / matmul:.2f}",
        f"{ours['peak_mb']:.0f}",
    )


def compare_devices(script, rounds, steps):
    """Images a second on one core, and in two processes with a core each that train together.

    Returns both, and the median, the smallest and the largest ratio of a turn.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        cluster = {"worker": [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, other)]}
    with contextlib.ExitStack() as stack:
        alone = [Worker(script, "ours", onednn=True, core=cores[0])]
        together = []
        for number, core in enumerate(cores):
            config = {"cluster": cluster, "task": {"type": "worker", "index": number}}
            together.append(Worker(script, "ours", onednn=True, core=core, tf_config=config))
        for worker in alone + together:
            stack.callback(worker.stop)

        def seconds(workers, count):
            for worker in workers:
                worker.ask(count)
            return max([worker.median() for worker in workers])

        seconds(alone, WARM_UP), seconds(together, WARM_UP)
        turns = [(seconds(alone, steps), seconds(together, steps)) for _ in range(rounds)]
        n_batch = alone[0].facts()["batch_size"]
    rates = [n_batch / statistics.median(turn) for turn in zip(*turns, strict=True)]
    ratios = sorted(one / two for one, two in turns)
    return *rates, statistics.median(ratios), ratios[0], ratios[-1]


HEADS = "ours : mixed : document", "ms a step", "images/s", "document by ours", "per image"
HEADS += "GFLOP", "GFLOP/s", "share", "MB"
WIDTHS = 25, 22, 19, 20, 10, 7, 9, 7, 6


def in_columns(*cells):
    """A line of text, the first cell to the left and the others to the right."""
    first, *others = (f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return first.strip().ljust(WIDTHS[0]) + "".join(others)


def main(argv=None):
    parser = ArgumentParser(prog="benchmark.py", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=", ".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="fewer steps, and smaller ones")
    parser.add_argument(
        "--devices",
        action="store_true",
        help="instead: one process on one core beside two with a core each that train together",
    )
    parser.add_argument(
        "--gpu-check",
        action="store_true",
        help="instead: whether the scripts train and repeat on this GPU, and how fast",
    )
    parser.add_argument(
        "--document-onednn",
        choices=("default", "on", "off"),
        default="default",
        help="oneDNN for the documents' recipes; default: as TensorFlow has it on this CPU; "
        "ours always has it",
    )
    arguments = parser.parse_args(argv)
    for script in arguments.scripts:
        if script not in SCRIPTS:
            parser.error(f"unknown script {script!r}: known are {', '.join(SCRIPTS)}")
    if arguments.gpu_check:
        gpu_check.check(arguments.scripts or list(SCRIPTS)[:5])
        return
    name, by_default = processor()
    onednn = by_default if arguments.document_onednn == "default" else arguments.document_onednn
    onednn = onednn in (True, "on")
    rounds = 2 if arguments.quick else 3
    if arguments.devices:
        if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
            parser.error("--devices needs Linux and two cores")
        print(f"{name}: images a second on one core, and in two processes with a core each")
        for script in arguments.scripts or ("cgan_fashion", "gaugan_quarter"):
            steps = math.ceil(SCRIPTS[script] / (4 if arguments.quick else 1))
            one, two, *ratios = compare_devices(script, rounds, steps)
            ratio, low, high = (f"{value:.2f}" for value in ratios)
            print(f"{script}: {one:.1f} : {two:.1f}, {ratio} ({low}-{high}) times", flush=True)
        return

    matmul = Worker("matmul", "ours", onednn=True).facts()["gigaflop_per_second"]
    print(
        f"{name}, {os.cpu_count()} cores, {matmul:.0f} GFLOP/s in matrix products; TensorFlow has "
        f"oneDNN {('off', 'on')[by_default]} here by default, the documents' recipes run with it "
        f"{('off', 'on')[onednn]}, ours always with it; {rounds} turns each\n{in_columns(*HEADS)}",
        flush=True,
    )
    for script in arguments.scripts or SCRIPTS:
        steps = math.ceil(SCRIPTS[script] / (4 if arguments.quick else 1))
        print(compare(script, rounds, steps, arguments.quick, onednn, matmul), flush=True)


def processor():
    """The name of the CPU, and whether TensorFlow turns oneDNN on there by itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine(), False
    facts = dict(map(str.strip, text.split(":", 1)) for text in lines if ":" in text)
    by_default = bool(ONEDNN_FLAGS & set(facts.get("flags", "").split()))
    return facts.get("model name", platform.machine()), by_default


if __name__ == "__main__":
    sys.exit(main())
