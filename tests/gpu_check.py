"""`benchmark.py --gpu-check`: whether each script trains on this GPU, repeats, and how fast.

Each line is a process of its own (`python tests/gpu_check.py SCRIPT [OPTION]`), so that one that
crashes leaves the others alone. It starts the script as a user would, on the images that come with
this code: once to time the steps, and again to compare the losses, with --deterministic on a GPU.
Without a GPU the trainings are much shorter, and the models of GauGAN smaller.
"""

import contextlib
import importlib
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

MODES = ([], ["--mixed-precision"], ["--jit"], ["--gpus", "all"])
WARM_UP, LONGEST = 2, 600  # steps that are not timed; seconds for a line
LINE = "{:17}{:18}{:>8}{:>10}{:>9}{:>7}{:>8}"
HEAD = LINE.format("script", "mode", "repeats", "images/s", "GFLOP/s", "share", "MB")


def measure(script, *mode):
    """Train `script` with the options `mode` in this process; returns facts, a dict."""
    from common.training import hardware
    from common.training.run import Run

    import benchmark_worker as worker

    tf, module = worker.tf, importlib.import_module(script)
    on_gpu, gaugan = bool(tf.config.list_physical_devices("GPU")), script.startswith("gaugan")
    n_batch = worker.setting(script, quick=False).batch_size if on_gpu or gaugan else 16
    limit = min(40 if on_gpu else 8, 10_000 // n_batch) * n_batch
    options = ["--epochs", 1, "--batch-size", n_batch, "--limit", limit, "--evaluate-every", 0]
    options += ["--data", "drawn", "--vgg", "none"] if gaugan else ["--data", "sample"]
    if gaugan and not on_gpu:
        options += ["--image-size", 64, "--width", 0.25, "--latent-dim", 16]
    times, counting, usual_steps = [], contextlib.ExitStack(), Run.steps

    def timed_steps(run, count):
        for step in usual_steps(run, count):
            times.append(time.perf_counter())
            if step == 2:
                counting.close()
            yield step

    def losses(*more):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            module.main([*map(str, options), *mode, *more, "--out", f"{folder}/run"])
            return Path(folder, "run", "losses.csv").read_text()

    with mock.patch.object(Run, "steps", timed_steps):
        # Counting takes time, and the count is the same with every option.
        counts = [] if mode else worker.count_operations(counting)
        first = losses()
    seconds = statistics.median(b - a for a, b in itertools.pairwise(times[WARM_UP:]))
    memory = worker.peak_mb()
    if on_gpu:
        memory = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
        if "--jit" not in mode:  # which does not go with --deterministic
            first = losses("--deterministic")
        repeats = first == losses("--deterministic") if "--jit" not in mode else first == losses()
    else:
        repeats = first == losses()
    kind = worker.mixed_precision().removeprefix("mixed_") if "--mixed-precision" in mode else None
    side = 8192 if on_gpu else 1024
    n_gpus = len(tf.config.list_physical_devices("GPU")) if "--gpus" in mode else 1
    peak = n_gpus * worker.matmul_rate(side, seconds=0.5, dtype=kind or "float32")
    facts = {"gigaflop": sum(counts), "seconds": seconds, "images": n_batch / seconds}
    facts |= {"memory": memory, "repeats": repeats, "peak": peak, "n_gpus": on_gpu and n_gpus}
    versions = f"TensorFlow {tf.__version__}, Keras {worker.keras.__version__}"
    return facts | {"device": hardware.describe(1), "versions": versions}


def ask(script, mode):
    """What `measure` returns, from a process of its own; or, if that has failed, why: a str."""
    command = [sys.executable, __file__, script, *mode]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return f"not done after {LONGEST} s"
    if done.returncode:
        return f"status {done.returncode}, {(done.stderr.split(chr(10))[-2:] or [''])[0][:150]}"
    return json.loads(done.stdout.splitlines()[-1])


def check(scripts):
    """Print a block, a line for each script and mode, to paste into an issue."""
    print("To paste into an issue of this project, and nothing else:\n\n```", flush=True)
    facts = None
    for script in scripts:
        gigaflop = 0
        for mode in MODES:
            if "--gpus" in mode and not (facts and facts["n_gpus"]):
                print(f"{script:17}{' '.join(mode):18}not tried: no GPU", flush=True)
                continue
            answer = ask(script, mode)
            name = " ".join(mode) or "float32"
            if isinstance(answer, str):
                print(f"{script:17}{name:18}FAILS: {answer}", flush=True)
                continue
            if facts is None:
                mark = "" if answer["n_gpus"] else "no GPU: short trainings on "
                system = f"Python {platform.python_version()}, {platform.platform()}"
                print(f"{mark}{answer['device']}, {answer['versions']}, {system}\n{HEAD}")
            facts = answer
            gigaflop = answer["gigaflop"] or gigaflop
            rate = gigaflop / answer["seconds"]
            numbers = f"{answer['images']:.1f}", f"{rate:.0f}", f"{rate / answer['peak']:.2f}"
            repeats, memory = ("no", "yes")[answer["repeats"]], f"{answer['memory']:.0f}"
            print(LINE.format(script, name, repeats, *numbers, memory), flush=True)
    print("```")


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
