"""How fast a training step is, beside the recipe of the document that a script comes from.

    python tests/benchmark.py                      # all scripts
    python tests/benchmark.py wgan_gp_fashion      # or some of them
    python tests/benchmark.py --quick              # fewer steps

Ours and the document's are timed in turn, A B A B, each time in a process of its own, and the
medians compared: what a noisy machine does to one of them, it does to the other, too.
"""

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common.arguments import ArgumentParser

WARM_UP = 3
# Batch size; images that discriminator or critic learn from in a step, ours and the document's.
# A recipe without half-batches has them see twice as many.
SCRIPTS = {
    "cgan_fashion": (128, 128, 128),
    "gan_fashion": (128, 128, 128),
    "cgan_mnist": (64, 64, 128),
    "wgan_gp_fashion": (512, 3 * 512, 3 * 1024),
}


class TimedRun:
    """Stands for a `training.Run` of one endless epoch, and takes the time of each step."""

    def __init__(self, count):
        import numpy as np

        self.rng, self.sample_rng = np.random.default_rng(0), np.random.default_rng(1)
        self.count, self.seconds = count, []

    def epochs(self, _draw_samples):
        yield 1

    def steps(self, _count):
        for step in range(self.count):
            started = time.perf_counter()
            yield step
            self.seconds.append(time.perf_counter() - started)

    def log(self, **_losses):
        pass


def time_ours(script, dataset, batch_size, count):
    """Seconds of each of `count` steps of a script's own `train`."""
    module, run = importlib.import_module(script), TimedRun(count)
    g_model = module.define_generator()
    if script == "wgan_gp_fashion":
        critic = module.define_critic()
        models = (g_model, module.define_critic_trainer(critic), module.define_gan(g_model, critic))
        more = (module.CRITIC_STEPS, run)
    else:
        d_model = module.define_discriminator()
        models = (g_model, d_model, module.define_gan(g_model, d_model))
        more = (run,)
    module.train(*models, dataset, module.LATENT_DIM, batch_size, *more)
    return run.seconds


def time_document(script, dataset, batch_size, count):
    """The same of the document's recipe."""
    import reference_recipes

    if script == "cgan_mnist":
        return reference_recipes.time_conditional_gan_fit(dataset, batch_size, count)
    if script == "wgan_gp_fashion":
        step = reference_recipes.wgan_gp_train_step(dataset, batch_size)
    else:
        module = importlib.import_module(script)
        step = reference_recipes.machine_learning_mastery_loop(module, dataset, batch_size)
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds


def measure(script, whose, count):
    """Median seconds of a step, from `count` steps in a process of its own."""
    command = [sys.executable, __file__, script, "--worker", whose, "--steps", str(count)]
    # On, unless somebody has set it, for both of them: importing `common` has seen to it.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return statistics.median(json.loads(done.stdout.splitlines()[-1])[WARM_UP:])


def work(script, whose, count):
    """What a worker process does: time the steps and print them."""
    from common import datasets

    load = datasets.load_mnist if script == "cgan_mnist" else datasets.load_fashion_mnist
    timed = time_ours if whose == "ours" else time_document
    print(json.dumps(timed(script, load("sample"), SCRIPTS[script][0], count + WARM_UP)))


def compare(script, rounds, count):
    """Time both recipes `rounds` times in turn; return a row of the table, a dict."""
    batch_size, seen_ours, seen_document = SCRIPTS[script]
    pairs = [
        tuple(measure(script, whose, count) for whose in ("ours", "document"))
        for _ in range(rounds)
    ]
    ours, document = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    more = seen_document / seen_ours
    ratios = sorted(theirs / mine for mine, theirs in pairs)
    return {
        "script": script,
        "ms_ours": 1000 * ours,
        "ms_document": 1000 * document,
        "images_per_second_ours": batch_size / ours,
        "images_per_second_document": batch_size / document,
        "ratio": statistics.median(ratios),
        "ratio_range": (ratios[0], ratios[-1]),
        "seen_per_second_ours": seen_ours / ours,
        "seen_per_second_document": seen_document / document,
        "ratio_per_seen": statistics.median(ratios) / more,
    }


def main(argv=None):
    parser = ArgumentParser(prog="benchmark.py", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=", ".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="two rounds of few steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_integer("--steps", 1, 10_000, None, "steps in a round (default: 20, quick: 5)")
    parser.add_argument("--worker", choices=("ours", "document"), help="only time one recipe")
    arguments = parser.parse_args(argv)
    for script in arguments.scripts:
        if script not in SCRIPTS:
            parser.error(f"unknown script {script!r}: known are {', '.join(SCRIPTS)}")
    count = arguments.steps or (5 if arguments.quick else 20)
    if arguments.worker:
        work(arguments.scripts[0], arguments.worker, count)
        return
    rounds = 2 if arguments.quick else 5
    print(f"{processor()}, {os.cpu_count()} cores; {rounds} rounds of {count} steps each, medians")
    heads = "ms a step", "images/s", "ratio (range)", "learnt from/s", "ratio"
    print("{:16}{:>18}{:>16}{:>20}{:>17}{:>8}".format("ours : document", *heads))
    rows = []
    for script in arguments.scripts or SCRIPTS:
        row = compare(script, rounds, count)
        rows.append(row)
        low, high = row["ratio_range"]
        print(
            f"{script:16}{row['ms_ours']:8.0f} : {row['ms_document']:<7.0f}"
            f"{row['images_per_second_ours']:7.0f} : {row['images_per_second_document']:<6.0f}"
            f"{row['ratio']:6.2f} ({low:.2f} to {high:.2f})"
            f"{row['seen_per_second_ours']:9.0f} : {row['seen_per_second_document']:<6.0f}"
            f"{row['ratio_per_seen']:7.2f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def processor():
    """The name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
