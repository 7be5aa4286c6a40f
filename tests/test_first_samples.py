"""The first sample picture: as good as the network that drew it."""

import importlib

from common.training.run import Run

import keras
import numpy as np
import pytest
from conftest import ALL_SCRIPTS

# An epoch of the embedded images at the defaults, in smaller batches: as many steps, in less time.
STEPS = {
    "cgan_fashion": 10_000 // 128,
    "cgan_mnist": 10_000 // 64,
    "gan_fashion": 10_000 // 128,
    "wgan_gp_fashion": 10_000 // 512,
    "gaugan_facades": 256 // 4,
}
BATCH = {"cgan_fashion": 32, "wgan_gp_fashion": 32, "gaugan_facades": 4}
SMALL_GAUGAN = ["--data", "drawn", "--image-size", "64", "--width", "0.1", "--latent-dim", "16"]
SMALL_GAUGAN += ["--vgg", "none", "--sample-every", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_after_one_epoch_the_saved_generator_draws_as_well_as_the_network(
    name, tmp_path, monkeypatch
):
    """It has averages over the last steps, of weights and of statistics, and none may lag behind.

    Compared are mean and contrast of its images with those that networks in training mode draw from
    the same latents: that with the averaged weights, and that which is being trained.
    """
    inputs, images = [], {}
    predict, save_epoch = keras.Model.predict, Run.save_epoch

    def note_inputs(model, x, *arguments, **options):
        if any(tensor.name == "latent" for tensor in model.inputs):  # a generator, no encoder
            inputs.append(list(map(np.array, x)) if isinstance(x, list) else x)
        return predict(model, x, *arguments, **options)

    def note_images(run, *arguments, **values):
        save_epoch(run, *arguments, **values)
        model = run._models["generator"]
        for which, network in (("averaged", run.average.of(model)), ("newest", model)):
            images[which] = np.array(network(inputs[-1], training=True))

    monkeypatch.setattr(keras.Model, "predict", note_inputs)
    monkeypatch.setattr(Run, "save_epoch", note_images)
    n_batch = BATCH.get(name, 16)
    arguments = ["--epochs", "1", "--evaluate-every", "0", "--batch-size", str(n_batch)]
    small = ["--data", "sample", "--limit", str(STEPS[name] * n_batch)]
    arguments += SMALL_GAUGAN if name == "gaugan_facades" else small
    importlib.import_module(name).main([*arguments, "--out", str(tmp_path)])
    saved = keras.saving.load_model(tmp_path / "generator.keras").predict(inputs[-1], verbose=0)

    def statistics(images):  # the last is next to nothing in a picture of grey squares
        return np.array([images.mean(), images.std(), images.std(axis=0).mean()])

    mean, *contrast = statistics(saved) - statistics(images["averaged"])
    assert abs(mean) < 0.1
    assert np.all(np.abs(contrast) < 0.2 * statistics(images["averaged"])[1:])
    # The newest weights swing from step to step, and their average is in the middle.
    assert np.all(statistics(saved)[1:] > 0.6 * statistics(images["newest"])[1:])
