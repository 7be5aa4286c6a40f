"""GauGAN: sizes and formulas, who changes what, VGG19, and training runs of each data source."""

import json
import shutil
import signal

import gaugan_facades as gaugan
from common import UserError
from common.data import facades
from common.models import vgg
from common.training.quality import Quality

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import OneEpoch, exit_status, same, state
from PIL import Image
from runs import FILES, assert_same_run, replace_training

# Functions run eagerly here, since tracing them takes seconds; `predict` has a pipeline besides.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Even though the:UserWarning")]
SIZE, LATENT_DIM, WIDTH = 32, 6, 0.04
TINY = ["--image-size", "64", "--width", "0.02", "--latent-dim", "6", "--vgg", "none"]
LOSSES = ["g_loss", "feature_loss", "kl_loss"]


@pytest.fixture(scope="module")
def models():
    """Generator, encoder, discriminator and composite, small, trained by whoever likes to."""
    keras.utils.set_random_seed(0)
    g_model = gaugan.define_generator(SIZE, LATENT_DIM, WIDTH)
    encoder = gaugan.define_encoder(SIZE, LATENT_DIM, WIDTH)
    d_model = gaugan.define_discriminator(SIZE, WIDTH)
    return g_model, encoder, d_model, gaugan.define_gan(g_model, encoder, d_model)


@pytest.fixture(scope="module")
def batch(drawn):
    """Four crops of drawn facades as the composite takes them: image, colours, layout, noise."""
    few = facades.fit(drawn.first(4), SIZE)
    inputs = facades.to_inputs(*facades.centre_crops(few, SIZE))
    return [*inputs, gaugan.generate_latent_points(LATENT_DIM, 4, np.random.default_rng(5))]


@pytest.fixture
def eagerly():
    """Without tracing, which takes longer than a few steps do."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def patches(target):
    return np.full((4, 1, 1, 1), target)


def targets(gan_model):
    return dict.fromkeys(gan_model.output, np.zeros(4))


def test_parameter_counts_at_256_pixels():
    g_model = gaugan.define_generator()
    assert sum(np.prod(v.shape) for v in g_model.trainable_variables) == 101_039_875
    assert [(i.name, i.shape) for i in g_model.inputs] == [
        ("latent", (None, 256)),
        ("layout", (None, 256, 256, 12)),
    ]
    assert g_model.output_shape == (None, 256, 256, 3)
    encoder = gaugan.define_encoder()
    assert encoder.count_params() == 20_689_856
    assert encoder.input_shape == (None, 256, 256, 3)
    assert encoder.output_shape == [(None, 256), (None, 256)]
    d_model = gaugan.define_discriminator()
    assert d_model.count_params() == 2_768_641
    assert [shape[1:] for shape in d_model.output_shape] == [
        (128, 128, 64),
        (64, 64, 128),
        (32, 32, 256),
        (32, 32, 512),
        (29, 29, 1),
    ]


def test_smaller_images_and_widths():
    g_model = gaugan.define_generator(64, 8, 0.05)
    assert g_model.output_shape == (None, 64, 64, 3)
    kernels = [layer.kernel.shape for layer in g_model.layers if hasattr(layer, "kernel")]
    assert kernels[0] == (8, 4 * 4 * 51) and kernels[-1] == (4, 4, 6, 3)
    assert (3, 3, 12, 6) in kernels  # of a SPADE: 0.05 * 128
    encoder = gaugan.define_encoder(64, 8, 0.05)
    assert encoder.get_layer("mean").kernel.shape == (8 * 8 * 13, 8)
    assert gaugan.define_discriminator(64, 0.05).output_shape[-1] == (None, 5, 5, 1)


def test_optimizers(models):
    *_, d_model, gan_model = models
    for model, rate in ((d_model, 4e-4), (gan_model, 1e-4)):
        assert isinstance(model.optimizer, keras.optimizers.Adam)
        np.testing.assert_allclose(float(model.optimizer.learning_rate), rate, rtol=1e-6)
        assert (model.optimizer.beta_1, model.optimizer.beta_2) == (0.0, 0.999)


def test_spade_by_hand():
    x, layout = keras.Input((2, 2, 3)), keras.Input((2, 2, 12))
    model = keras.Model([x, layout], gaugan.spade(x, layout, spade_channels=4))
    (normalisation,) = (layer for layer in model.layers if "normalization" in layer.name)
    convolutions = [layer for layer in model.layers if "conv2d" in layer.name]
    for layer in convolutions:
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    _hidden, scale, shift = convolutions
    scale.bias.assign([1, 2, 3])
    shift.bias.assign([0, 10, 20])
    mean, variance = np.array([1.0, 2.0, 3.0]), np.array([4.0, 1.0, 0.25])
    normalisation.moving_mean.assign(mean)
    normalisation.moving_variance.assign(variance)
    assert normalisation.trainable_weights == []
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((2, 2, 2, 3)), np.zeros((2, 2, 2, 12))]
    expected = (inputs[0] - mean) / np.sqrt(variance + 1e-5) * [2, 3, 4] + [0, 10, 20]
    np.testing.assert_allclose(model.predict_on_batch(inputs), expected, rtol=1e-5, atol=1e-5)


def test_the_label_map_enters_at_full_size():
    g_model = gaugan.define_generator(64, LATENT_DIM, WIDTH)
    sizes = [layer.output.shape[1] for layer in g_model.layers if "normalization" in layer.name]
    assert sorted(set(sizes)) == [8, 16, 32, 64]
    latent, label_maps = np.zeros((2, LATENT_DIM)), np.zeros((2, 64, 64, 12))
    label_maps[..., 0] = 1
    label_maps[1, 33, 33] = np.eye(12)[5]  # one pixel, which a map at half the size leaves out
    one, other = g_model.predict_on_batch([latent, label_maps])
    assert np.abs(one - other).max() > 0


def test_formulas_by_hand():
    mean = np.array([[1.0, 0.0], [0.0, 0.0], [3.0, -2.0]], "float32")
    log_variance = np.log(np.array([[1.0, 4.0], [1.0, 1.0], [0.5, 2.0]], "float32"))
    expected = [
        0.5 * (1 + 0) + 0.5 * (4 - 1 - np.log(4)),
        0,
        0.5 * (9 + 0.5 - 1 - np.log(0.5)) + 0.5 * (4 + 2 - 1 - np.log(2)),
    ]
    np.testing.assert_allclose(gaugan.kl_divergence(mean, log_variance), expected, rtol=1e-5)
    mean, variance = np.array([[1.0, -2.0]]), np.array([[4.0, 0.25]])
    latents = gaugan.draw_latent(mean, np.log(variance), np.array([[3.0, 1.0]]))
    np.testing.assert_allclose(latents, [[1 + 2 * 3, -2 + 0.5 * 1]])
    real = [np.zeros((2, 1, 1, 2)), np.zeros((2, 1, 2, 1))]
    generated = [np.array([[1, -3], [5, 5]]).reshape(2, 1, 1, 2), np.full((2, 1, 2, 1), -4.0)]
    distance = gaugan.feature_distance(real, generated, [1.0, 0.25])
    np.testing.assert_allclose(distance, [2 + 1, 5 + 1])


def test_losses_of_the_models_by_hand(models, batch):
    g_model, encoder, d_model, gan_model = models
    image, colours, layout, noise = batch
    mean, log_variance = encoder.predict_on_batch(image)
    generated = g_model.predict_on_batch([mean + np.exp(log_variance / 2) * noise, layout])
    *real_features, real_score = d_model.predict_on_batch([colours, image])
    *features, score = d_model.predict_on_batch([colours, generated])

    hinge = d_model.test_on_batch([colours, image], patches(1))
    np.testing.assert_allclose(hinge, np.maximum(0, 1 - real_score).mean(), rtol=1e-5)
    hinge = d_model.test_on_batch([colours, generated], patches(-1))
    np.testing.assert_allclose(hinge, np.maximum(0, 1 + score).mean(), rtol=1e-5)

    losses = gan_model.test_on_batch(batch, targets(gan_model), return_dict=True)
    expected = {
        "g_loss": -score.mean(),
        "feature_loss": sum(
            np.abs(a - b).mean() for a, b in zip(real_features, features, strict=True)
        ),
        "kl_loss": np.mean(gaugan.kl_divergence(mean, log_variance)),
    }
    assert len(features) == 4 and losses.keys() == expected.keys() | {"loss"}
    for name, value in expected.items():
        np.testing.assert_allclose(losses[name], value, rtol=1e-4, atol=1e-6)
    total = expected["g_loss"] + 10 * expected["feature_loss"] + 0.02 * expected["kl_loss"]
    np.testing.assert_allclose(losses["loss"], total, rtol=1e-4)


def test_every_loss_reaches_the_encoder(models, batch):
    *_, encoder, _, gan_model = models
    weights = encoder.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        losses = gan_model(batch, training=True)
    for name, loss in losses.items():
        gradients = tape.gradient(loss, weights)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients), name


def test_each_call_changes_its_own_models_only(models, batch):
    g_model, encoder, d_model, gan_model = models
    image, colours, *_ = batch
    for call in "dgd":
        of_d, of_g, of_e = state(d_model), state(g_model), state(encoder)
        if call == "d":
            d_model.train_on_batch([colours, image], patches(1))
        else:
            gan_model.train_on_batch(batch, targets(gan_model))
        assert same(of_d, state(d_model)) == (call == "g")
        assert same(of_g, state(g_model)) == same(of_e, state(encoder)) == (call == "d")
    before = encoder.get_weights()
    gan_model.train_on_batch(batch, targets(gan_model))
    assert not any(map(np.array_equal, before, encoder.get_weights()))
    owned = [*encoder.variables, *g_model.variables]
    assert {id(v) for v in gan_model.variables} == {id(v) for v in owned}


def test_which_batch_statistics_are_used_and_updated(models, batch):
    g_model, encoder, _, gan_model = models
    image, _, layout, noise = batch
    gan_model.train_on_batch(batch, targets(gan_model))
    of_g, of_e = state(g_model), state(encoder)
    styled_generator = gaugan.define_styled_generator(g_model, encoder)
    by_batch = styled_generator.predict_on_batch([image, layout, noise])
    together = g_model.predict_on_batch([noise, layout])
    assert same(of_g, state(g_model)) and same(of_e, state(encoder))

    # An image does not depend on the others in its batch, but for the discriminator's training.
    alone = g_model.predict_on_batch([noise[:1], layout[:1]])
    np.testing.assert_allclose(alone, together[:1], atol=1e-5)
    alone = styled_generator.predict_on_batch([array[:1] for array in (image, layout, noise)])
    assert np.abs(alone - by_batch[:1]).max() > 1e-3

    moving = [v.numpy() for v in g_model.non_trainable_variables]
    gan_model.train_on_batch(batch, targets(gan_model))
    assert not any(
        map(np.array_equal, moving, [v.numpy() for v in g_model.non_trainable_variables])
    )


def test_validation_changes_nothing(models, batch):
    g_model, encoder, d_model, gan_model = models
    before = [state(model) for model in models]
    run, validation_model = OneEpoch(), gaugan.define_losses(g_model, encoder, d_model)[0]
    gaugan.log_validation_losses(validation_model, batch, 2, run)  # two batches of the four
    assert all(map(same, before, map(state, models)))
    assert [list(logged) for logged in run.logged] == [[f"val_{name}" for name in LOSSES]] * 2
    losses = gan_model.test_on_batch(batch, targets(gan_model), return_dict=True)
    for name in LOSSES:
        mean = np.mean([logged[f"val_{name}"] for logged in run.logged])
        np.testing.assert_allclose(mean, losses[name], rtol=1e-4, atol=1e-6)


def test_inputs_are_scaled_and_encoded():
    photos = np.array([0, 255, 51], "uint8").reshape(1, 1, 1, 3)
    images, colours, label_maps = facades.to_inputs(photos, np.array([[[11]]], "uint8"))
    np.testing.assert_allclose(images.ravel(), [-1, 1, -0.6], rtol=1e-6)
    assert label_maps.tolist() == [[[[0.0] * 11 + [1.0]]]]
    expected = facades.colours(np.array([11])).ravel() / 127.5 - 1
    np.testing.assert_allclose(colours.ravel(), expected, rtol=1e-5)
    assert {array.dtype.name for array in (images, colours, label_maps)} == {"float32"}


def test_a_step_is_two_half_batches_and_one_batch(models, monkeypatch, drawn):
    g_model, encoder, d_model, gan_model = models
    calls = []

    def of_d(inputs, target):
        calls.append(("d", {len(array) for array in inputs}, set(target.ravel().tolist())))
        return 2.0 + target.mean()

    def of_gan(inputs, _nothing, return_dict):
        calls.append(("gan", {len(array) for array in inputs}, return_dict))
        return {"kl_loss": 4.0, "loss": 9.0, "feature_loss": 3.0, "g_loss": 5.0}

    monkeypatch.setattr(d_model, "train_on_batch", of_d)
    monkeypatch.setattr(gan_model, "train_on_batch", of_gan)
    few = facades.fit(drawn.first(14), SIZE)
    run = OneEpoch()
    styled_generator = gaugan.define_styled_generator(g_model, encoder)
    validation_model, _ = gaugan.define_losses(g_model, encoder, d_model)
    trained = g_model, encoder, styled_generator, d_model, gan_model, validation_model
    gaugan.train(trained, (few.first(13), few.first(3)), 6, run)
    assert calls == [("d", {3}, {1}), ("d", {3}, {-1}), ("gan", {6}, True)] * 2
    logged = {"d_loss": 2.0, "g_loss": 5.0, "feature_loss": 3.0, "kl_loss": 4.0}
    # Then the full batches of validation facades, here one of three.
    *steps, validation = run.logged
    assert steps == [logged, logged] and list(validation) == [f"val_{name}" for name in LOSSES]
    ((picture, titles, values),) = run.saved
    assert run.latents.shape == (256, LATENT_DIM)
    assert picture.shape == (9, SIZE, SIZE, 3) and titles == ("label map", "photo", "generated")
    assert values == {}


# VGG19


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Weights of a VGG19 that has learned nothing."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.weights.h5"
    keras.applications.VGG19(include_top=False, weights=None).save_weights(path)
    return path


def test_vgg_features_and_loss(models, batch, weights_file):
    g_model, encoder, d_model, _ = models
    features, source = vgg.load(str(weights_file), SIZE)
    assert source == str(weights_file)
    whole = keras.applications.VGG19(
        include_top=False, weights=str(weights_file), input_shape=(SIZE, SIZE, 3)
    )
    names = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
    reference = keras.Model(whole.input, [whole.get_layer(name).output for name in names])

    image, _, layout, noise = batch
    pixels = (image + 1) * 127.5
    assert pixels.min() >= 0 and pixels.max() > 200
    expected = reference.predict_on_batch(pixels[..., ::-1] - [103.939, 116.779, 123.68])
    for one, other in zip(features.predict_on_batch(image), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)

    gan_model = gaugan.define_gan(g_model, encoder, d_model, features)
    assert len(gan_model.variables) == len(g_model.variables) + len(encoder.variables)
    losses = gan_model.test_on_batch(batch, targets(gan_model), return_dict=True)
    mean, log_variance = encoder.predict_on_batch(image)
    generated = g_model.predict_on_batch([mean + np.exp(log_variance / 2) * noise, layout])
    painted = features.predict_on_batch(generated)
    distances = [np.abs(one - other).mean() for one, other in zip(expected, painted, strict=True)]
    by_hand = np.dot([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1], distances)
    np.testing.assert_allclose(losses["vgg_loss"], by_hand, rtol=1e-3)
    total = losses["g_loss"] + 10 * losses["feature_loss"] + 0.02 * losses["kl_loss"]
    np.testing.assert_allclose(losses["loss"], total + 0.1 * by_hand, rtol=1e-3)


@pytest.fixture
def no_network(monkeypatch):
    define = keras.applications.VGG19

    def vgg19(weights, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on some address: None -- no internet in tests")
        return define(weights=weights, **options)

    monkeypatch.setattr(keras.applications, "VGG19", vgg19)


def test_vgg_that_cannot_be_had(no_network, capsys, tmp_path):
    assert vgg.load("none", 64) == (None, "none")
    assert capsys.readouterr().err == ""
    assert vgg.load("auto", 64) == (None, "none")
    error = capsys.readouterr().err
    assert error.startswith("Training without the VGG loss: ") and error.count("\n") == 1
    with pytest.raises(UserError, match="--vgg imagenet: .* cannot be downloaded"):
        vgg.load("imagenet", 64)
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    for name in ("missing.h5", "other.weights.h5"):
        with pytest.raises(UserError, match=f"cannot read .*{name}"):
            vgg.load(str(tmp_path / name), 64)


def test_imagenet_weights_are_keras_s(monkeypatch):
    asked, define = [], keras.applications.VGG19

    def vgg19(weights, **options):
        asked.append(weights)
        return define(weights=None, **options)

    monkeypatch.setattr(keras.applications, "VGG19", vgg19)
    for source in ("auto", "imagenet"):
        features, used = vgg.load(source, 64)
        assert used == "imagenet" and len(features.outputs) == 5
    assert asked == ["imagenet"] * 2


# Training runs


def write_facades(folder, photo="cmp_b{:04d}.jpg", label="cmp_b{:04d}.png", first=1):
    """Seven drawn facades as files; the names are given with a number to fill in."""
    folder.mkdir()
    few = facades.load_facades("drawn").first(7)
    for number, (pixels, layout) in enumerate(zip(few.images, few.label_maps, strict=True)):
        Image.fromarray(pixels).save(folder / photo.format(number))
        Image.fromarray(layout + np.uint8(first)).save(folder / label.format(number))
    return folder


@pytest.mark.parametrize("kind", ["drawn", "zip"])  # and a folder: below
def test_a_training_run_of_each_data_source(
    kind, eagerly, monkeypatch, tmp_path, capsys, few_drawn
):
    monkeypatch.setattr(facades, "DRAWN", few_drawn(8))
    source, run = "drawn", tmp_path / "run"
    if kind == "zip":  # with names as in the example of keras.io
        write_facades(tmp_path / "base", "{}_images.jpg", "{}_segmentation_labels.bmp", first=0)
        source = shutil.make_archive(tmp_path / "facades", "zip", tmp_path, "base")
    gaugan.main([*TINY, "--epochs", "1", "--data", str(source), "--out", str(run)])
    lines = capsys.readouterr()
    # Maps of numbers without colours are taken for the CMP's, and that is said.
    assert lines.err.count("\n") == (kind != "drawn") == lines.err.count("the CMP's")
    assert {path.name for path in run.iterdir()} == FILES | {"encoder.keras"}
    header, row = (run / "losses.csv").read_text().splitlines()
    expected = {"epoch", "d_loss", *LOSSES, *(f"val_{name}" for name in LOSSES)}
    assert set(header.split(",")) == expected
    assert np.isfinite(list(map(float, row.split(",")))).all()
    assert [path.name for path in (run / "samples").iterdir()] == ["epoch_0001.png"]
    record = json.loads((run / "run.json").read_text())
    assert record["data"]["source"] == str(source) and record["arguments"]["vgg"] == "none"
    for name in ("generator", "encoder"):  # need no code of their own
        loaded = keras.saving.load_model(run / f"{name}.keras", safe_mode=True)
        parts = [*loaded.layers, *loaded.operations]
        assert all(type(part).__module__.startswith("keras.") for part in parts)


def test_stopped_and_resumed_equals_uninterrupted(eagerly, monkeypatch, tmp_path):
    """Stopped by Ctrl-C in the first of two steps, and resumed from there."""
    monkeypatch.setattr(Quality, "after", lambda *_: {"mean_iou": 0.5})
    source = write_facades(tmp_path / "base")
    arguments = [*TINY, "--data", str(source), "--limit", "5", "--batch-size", "2", "--epochs", "1"]
    arguments += ["--keep-every", "1"]
    gaugan.main([*arguments, "--out", str(tmp_path / "whole")])
    original = gaugan.generate_real_samples

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(gaugan, "generate_real_samples", interrupted)
        assert exit_status(gaugan.main, [*arguments, "--out", str(tmp_path / "parts")]) == 130
    gaugan.main(["--resume", "--out", str(tmp_path / "parts")])
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    kept = "kept/epoch_0001.keras", "kept/epoch_0001_encoder.keras"
    for name in ("encoder.keras", "best.keras", "best_encoder.keras", *kept):
        one, other = (keras.saving.load_model(tmp_path / run / name) for run in ("whole", "parts"))
        assert all(map(np.array_equal, one.get_weights(), other.get_weights()))


def test_resume_keeps_to_the_vgg_that_auto_has_found(no_network, monkeypatch, tmp_path, capsys):
    replace_training(monkeypatch, lambda run: None, gaugan)
    source, run = write_facades(tmp_path / "base"), str(tmp_path / "run")
    tiny = TINY[: TINY.index("--vgg")]
    gaugan.main([*tiny, "--epochs", "1", "--data", str(source), "--out", run])
    assert "Training without the VGG loss: vgg19_weights" in capsys.readouterr().err
    monkeypatch.setattr(keras.applications, "VGG19", None)
    gaugan.main(["--resume", "--out", run])
    assert "VGG" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image-size", "100"], "--image-size: invalid choice: 100"),
        (["--width", "0"], "--width: 0 is not between 0.01 and"),
        (["--sample-every", "0"], "--sample-every: 0 is not between 1 and"),
        (["--batch-size", "3"], "--batch-size 3 is odd"),
        (["--batch-size", "8"], "of 8 facades from drawn, 6 are for training"),
        (["--vgg", "imagenet"], "--vgg imagenet: vgg19_weights_tf_dim_ordering_tf_kernels"),
        (["--vgg", "nowhere.h5"], "cannot read nowhere.h5: no such file"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_arguments(no_network, monkeypatch, tmp_path, error_of, few_drawn, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(facades, "DRAWN", few_drawn(8))
    error = error_of(gaugan.main, *TINY, "--data", "drawn", *arguments)
    assert error.startswith("gaugan_facades.py: error: ") and words in error
    assert not list(tmp_path.iterdir())


def test_a_limit_that_fills_no_batch_is_found_before_the_facades_are_read(error_of, tmp_path):
    arguments = ["--data", "not read", "--limit", "4", "--out", str(tmp_path / "run")]
    error = error_of(gaugan.main, *arguments)
    assert "of --limit 4 facades, 3 are for training: these do not fill one batch of 4" in error
