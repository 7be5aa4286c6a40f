"""Training on several devices gives what it gives on one; and what happens when a machine is lost.

Here the devices are CPUs: two in one process, or one in each of two processes.
"""

import contextlib
import importlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gan_fashion
import gaugan_facades
from common import UserError
from common.models.steps import quicken
from common.training import devices

import keras
import numpy as np
import pytest
from conftest import ALL_SCRIPTS, PROJECT
from runs import assert_same_run, weights

WORKER = Path(__file__).with_name("devices_worker.py")
LOST = "lost contact with the process"
WAITING = "Waiting for the processes on all 2 machines: start the same command on each\n"


def start(commands, n_cpus=1, killed_at_step=0, tf_config=None):
    environment = os.environ | {"no_proxy": "127.0.0.1"}
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    arguments = [sys.executable, str(WORKER), str(n_cpus), str(killed_at_step), *commands]
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def free_addresses():
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, other)]


def config(*addresses, job="worker", index=0, **others):
    """What TF_CONFIG says."""
    return {"cluster": {job: addresses} | others, "task": {"type": job, "index": index}}


def start_two(commands, killed=None):
    """Start two processes that train together; the one with number `killed` dies at step 6."""
    addresses = free_addresses()
    return [
        start(
            commands,
            killed_at_step=6 if number == killed else 0,
            tf_config=config(*addresses, index=number),
        )
        for number in (0, 1)
    ]


def outcome(process):
    """Exit status, standard output and standard error of a process, when it has ended."""
    try:
        output, errors = process.communicate(timeout=600)
    finally:
        process.kill()  # in case it has not ended
    return process.returncode, output, errors


def assert_finished(*processes):
    outcomes = [outcome(process) for process in processes]
    assert [status for status, *_ in outcomes] == [0] * len(processes), outcomes
    return outcomes


def losses(folder):
    rows = (folder / "losses.csv").read_text().splitlines()
    return np.array([[float(cell or "nan") for cell in row.split(",")] for row in rows[1:]])


def assert_same_training(one, other, tolerance=1e-5):
    """The same but for rounding."""
    np.testing.assert_allclose(losses(one), losses(other), rtol=1e-5, atol=5e-6)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        largest = max(1, np.abs(array).max())
        np.testing.assert_allclose(
            second[name], array, rtol=0, atol=tolerance * largest, err_msg=name
        )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with runs of each script: in one/ on one CPU, in two/ on two in the same process.

    processes/ has those of two processes. longer/ has runs of cgan_fashion of two epochs: `one`,
    `two` and `processes`; and `from_two`, `to_two`, `from_processes`, `to_processes`, of which one
    epoch was trained on one CPU, and the other on two.
    """
    top = tmp_path_factory.mktemp("devices")
    longer = top / "longer"

    def each(name, *options):
        return [
            " ".join([script, "--epochs 1 --out", str(top / name / script), *options])
            for script in ALL_SCRIPTS
        ]

    def once(name, *options):
        return " ".join(["cgan_fashion --epochs 2 --out", str(longer / name), *options])

    one = start([*each("one"), once("one")])
    assert_finished(one, start(each("two", "--gpus 2"), n_cpus=2))
    for name in ("to_two", "to_processes"):
        shutil.copytree(top / "one/cgan_fashion", longer / name)
    commands = [*each("processes"), once("processes"), once("to_processes", "--resume")]
    outcomes = assert_finished(*start_two(commands))
    assert outcomes[0][1].count("Finished: ") == 7 and outcomes[1][1] == ""
    assert outcomes[1][2] == WAITING
    for name in ("two", "processes"):
        shutil.copytree(top / name / "cgan_fashion", longer / f"from_{name}")
    commands = [once(name, "--resume") for name in ("from_two", "from_processes")]
    assert_finished(start([*commands, once("to_two", "--resume --gpus all")], n_cpus=2))
    return top


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two", "processes"])
@pytest.mark.parametrize("script", ALL_SCRIPTS)
def test_two_devices_train_as_one(folders, script, name):
    # The penalty of the critic depends on the slope of its leaky ReLUs, which jumps at 0. In GauGAN
    # more numbers are added up, at the size of the image.
    tolerance = {"wgan_gp_fashion": 1e-3, "gaugan_facades": 5e-5}.get(script, 1e-5)
    assert_same_training(folders / "one" / script, folders / name / script, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["from_two", "to_two", "from_processes", "to_processes"])
def test_resume_on_another_number_of_devices(folders, name):
    assert_same_training(folders / "longer/one", folders / "longer" / name)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_machine_is_lost(folders, tmp_path, killed):
    out = tmp_path / "run"
    command = f"cgan_fashion --epochs 2 --checkpoint-minutes 0 --out {out}"
    processes = start_two([command], killed)
    outcomes = [outcome(process) for process in processes]
    status, _output, errors = outcomes[1 - killed]
    assert status == 1 and outcomes[killed][0] < 0
    _waiting, error = errors.splitlines()
    assert LOST in error
    if killed == 1:
        assert f"with 1 epoch and 1 step saved in {out}; go on with: python cgan_fash" in error
    resume = [f"cgan_fashion --resume --out {out}"]
    if killed == 1:
        assert_finished(*start_two(resume))
        assert_same_run(out, folders / "longer/processes")
    else:
        assert_finished(start(resume))
        assert_same_training(out, folders / "longer/one")


@pytest.mark.slow
def test_a_process_of_several_can_be_terminated(tmp_path):
    command = f"cgan_fashion --epochs 100000 --out {tmp_path / 'run'}"
    processes = start_two([command])
    try:
        for line in processes[0].stdout:
            if line.startswith("epoch 1/"):
                break
        processes[1].terminate()
        _output, error = processes[1].communicate(timeout=60)
        assert processes[1].returncode == 143 and error.startswith(WAITING)
        assert "stopped with what the first machine has saved; go on with: " in error
    finally:
        processes[1].kill()
        status, _output, error = outcome(processes[0])
    # All stop after the step, as at Ctrl-C, and the first saves.
    assert status == 130 and f"saved in {tmp_path / 'run'}; go on with: " in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "2"], "--gpus 2: TensorFlow finds 0 GPUs on this machine"),
        (["--gpus", "all"], "--gpus all: TensorFlow finds 0 GPUs on this machine"),
        (["--gpus", "0"], "argument --gpus: 0 is not between 1 and"),
        (["--gpus", "few"], "argument --gpus: 'few' is not a whole number or all"),
    ],
)
def test_gpus_that_are_not_there(error_of, tmp_path, arguments, words):
    assert words in error_of(gan_fashion.main, *arguments, "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("count", "n_batch", "words"),
    [
        (4, 20, "--batch-size 20: half a batch cannot be shared out evenly among 4 devices; 16"),
        (4, 4, "among 4 devices; 8 can"),
        (3, 128, "among 3 devices; 126 and 132 can"),
    ],
)
def test_a_batch_that_cannot_be_shared_out(count, n_batch, words):
    several = devices.Devices()
    several.count = count
    with pytest.raises(UserError, match=words):
        several.check(SimpleNamespace(batch_size=n_batch, jit=False))
    several.check(SimpleNamespace(batch_size=6 * count, jit=False))
    with pytest.raises(UserError, match="--jit is for one device, and here are"):
        several.check(SimpleNamespace(batch_size=6 * count, jit=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "AttributeError"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "KeyError, 'task'"),
        (config("a:1", "b:2", index=2), "('worker', 2), is not in the cluster"),
        (config("a:1", "b"), "'b' is not of the form HOST:PORT"),
        (config("a:1", "b:2", ps=["c:3"]), "there is a job 'ps'"),
    ],
    ids=str,
)
def test_a_tf_config_that_is_not_valid(error_of, monkeypatch, tmp_path, text, words):
    monkeypatch.setenv("TF_CONFIG", text if isinstance(text, str) else json.dumps(text))
    error = error_of(gan_fashion.main, "--out", str(tmp_path / "run"))
    assert 'TF_CONFIG is not of the form {"cluster": {"worker": ["HOST:PORT"' in error
    assert words in error


def test_a_tf_config_that_is_valid():
    assert devices.read_tf_config("") == ({}, None)
    assert devices.read_tf_config(json.dumps(config("a:1"))) == ({}, None)  # one machine
    two = {("worker", 0): "a:1", ("worker", 1): "b:2"}
    assert devices.read_tf_config(json.dumps(config("a:1", "b:2"))) == (two, ("worker", 0))
    tasks, task = devices.read_tf_config(json.dumps(config("b:2", chief=["a:1"])))
    assert list(tasks) == [("chief", 0), ("worker", 0)] and task == ("worker", 0)


def test_what_is_refused_on_several_devices(monkeypatch):
    """Losses that Keras would take for those of the whole batch; steps that are not shared out."""
    image = keras.Input((1,))
    strategy = SimpleNamespace(num_replicas_in_sync=2)
    several = devices.Devices()
    several._strategy = strategy
    for loss, error in (
        (lambda target, output: keras.ops.mean(target * output), "returns one number for a batch"),
        (lambda target, output: target * output, None),
    ):
        model = keras.Model(image, keras.layers.BatchNormalization()(image))
        model.compile(loss=loss)
        with pytest.raises(UserError, match=error) if error else contextlib.nullcontext():
            several.prepare([model])
        assert model.layers[1].synchronized
    monkeypatch.setattr(type(model), "distribute_strategy", strategy)
    model.run_eagerly = True
    with pytest.raises(UserError, match="it can train on one device only"):
        quicken(model)


@pytest.mark.slow
def test_ctrl_c_while_waiting_for_another_machine(run_script, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config(*free_addresses())))
    # A process that was started in the background ignores Ctrl-C, and so do those that it starts.
    press = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = run_script("-c", f"{press}; import gan_fashion; gan_fashion.main([])", wait=False)
    try:
        assert process.stderr.readline() == WAITING
        time.sleep(1)  # until TensorFlow waits
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT and output == error == ""


def test_the_bytes_that_are_exchanged_are_those_of_the_page_on_scaling():
    page = (PROJECT / "docs/scaling.md").read_text(encoding="utf-8")
    rows = []
    for name, critic_steps in (("cgan_fashion", 2), ("gan_fashion", 2), ("wgan_gp_fashion", 3)):
        script = importlib.import_module(name)
        define_critic = getattr(script, "define_discriminator", None) or script.define_critic
        rows.append((define_critic(), [script.define_generator()], critic_steps))
    for size in ({"width": 0.25, "latent_dim": 16}, {"width": 1.0, "latent_dim": 256}):
        generators = [
            define(image_size=64, **size)
            for define in (gaugan_facades.define_generator, gaugan_facades.define_encoder)
        ]
        rows.append((gaugan_facades.define_discriminator(64, size["width"]), generators, 2))
    for critic, generators, critic_steps in rows:
        weights = sum(
            math.prod(weight.shape) for model in generators for weight in model.trainable_weights
        )
        megabytes = 4e-6 * (critic_steps * critic.count_params() + weights)
        numbers = f"{critic.count_params():,}; {weights:,}"
        assert f"| {numbers} | {megabytes:.{0 if megabytes > 10 else 1}f} MB |" in page
