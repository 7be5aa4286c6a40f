"""The networks are those of the documents they come from; the batches are what they say."""

import cgan_fashion
import cgan_mnist
import gan_fashion
from common.data.datasets import Dataset

import keras
import numpy as np
import pytest
import reference_recipes
from conftest import fake_samples, latent_points, real_samples

PARAMETERS = {
    "cgan_fashion": (196_773, 1_169_336),
    "cgan_mnist": (80_385, 1_491_215),
    "gan_fashion": (155_137, 1_164_289),
}


def images_and_labels():
    images = np.random.default_rng(5).integers(0, 256, (64, 28, 28, 1), dtype="uint8")
    images[0], images[1] = 0, 255
    return Dataset(images, np.arange(64, dtype="int32") % 10, tuple("0123456789"), "test")


def as_list(inputs):
    return inputs if isinstance(inputs, list) else [inputs]


def test_parameter_counts_inputs_and_outputs(script):
    d_model, g_model = script.define_discriminator(), script.define_generator()
    assert (d_model.count_params(), g_model.count_params()) == PARAMETERS[script.__name__]
    label = {"cgan_fashion": [("label", (None, 1))], "cgan_mnist": [("label", (None, 10))]}
    label = label.get(script.__name__, [])
    latent_dim = {"cgan_mnist": 128}.get(script.__name__, 100)
    named = [(tensor.name, tensor.shape) for tensor in g_model.inputs]
    assert named == [("latent", (None, latent_dim)), *label]
    named = [(tensor.name, tensor.shape) for tensor in d_model.inputs]
    assert named == [("image", (None, 28, 28, 1)), *label]
    assert g_model.output_shape == (None, 28, 28, 1)
    assert d_model.output_shape == (None, 1)


def test_embeddings_start_at_unit_scale():
    for model in (cgan_fashion.define_discriminator(), cgan_fashion.define_generator()):
        (embedding,) = (x for x in model.layers if isinstance(x, keras.layers.Embedding))
        table = embedding.embeddings.numpy()
        assert table.shape == (10, 50)
        assert 0.9 < table.std() < 1.1 and abs(table.mean()) < 0.15


@pytest.mark.parametrize(
    ("module", "rate", "beta_1", "from_logits"),
    [
        (cgan_fashion, 2e-4, 0.5, False),
        (cgan_mnist, 3e-4, 0.9, True),
        (gan_fashion, 2e-4, 0.5, False),
    ],
)
def test_loss_and_optimizer(module, rate, beta_1, from_logits):
    d_model, g_model = module.define_discriminator(), module.define_generator()
    gan_model = module.define_gan(g_model, d_model)
    assert not g_model.compiled
    for model in (d_model, gan_model):
        assert isinstance(model.optimizer, keras.optimizers.Adam)
        np.testing.assert_allclose(float(model.optimizer.learning_rate), rate, rtol=1e-6)
        assert model.optimizer.beta_1 == beta_1
        # Binary cross-entropy by hand: of a logit 2 against the target 1, or a probability.
        guess = np.array([[2.0]]) if from_logits else np.array([[1 / (1 + np.exp(-2.0))]])
        loss = keras.losses.get(model.loss)(np.array([[1.0]]), guess)
        np.testing.assert_allclose(float(np.mean(loss)), np.log(1 + np.exp(-2.0)), rtol=1e-5)


def test_the_loss_of_a_step_is_of_that_step_alone(script):
    """Were it a running mean, the losses of real and generated images would be mixed up."""
    d_model = script.define_discriminator()
    inputs, real = real_samples(script, images_and_labels(), 8, np.random.default_rng(0))
    last = d_model.layers[-1]  # answers "real", with a logit of 4, whatever it sees
    last.kernel.assign(np.zeros(last.kernel.shape))
    last.bias.assign([4.0 if real[0, 0] == 1 else -4.0])
    loss, accuracy = d_model.train_on_batch(inputs, real)
    np.testing.assert_allclose(loss, np.log(1 + np.exp(-4.0)), rtol=1e-3)
    assert accuracy == 1.0
    loss, accuracy = d_model.train_on_batch(inputs, 1 - real)
    assert 3.5 < loss < 4.5 and accuracy == 0.0  # the mean of both losses would be 2


def test_real_samples_are_scaled_and_keep_their_labels(script):
    images = images_and_labels().images
    low, real = (0, 0) if script is cgan_mnist else (-1, 1)
    inputs, target = real_samples(script, images_and_labels(), 500, np.random.default_rng(1))
    chosen = np.random.default_rng(1).integers(0, len(images), 500)
    scaled, *label = as_list(inputs)
    assert (scaled.dtype, scaled.min(), scaled.max()) == ("float32", low, 1)
    expected = low + (1 - low) * images[chosen].astype("float64") / 255
    np.testing.assert_allclose(scaled, expected, atol=1e-6)
    if label:
        numbers = label[0].argmax(axis=1) if label[0].shape[1] == 10 else label[0][:, 0]
        assert np.array_equal(numbers, chosen % 10)
    assert np.array_equal(target, np.full((500, 1), real))


def test_fake_samples_are_the_generators_answer_to_the_points_drawn(script):
    g_model = script.define_generator(latent_dim=6)
    inputs, target = fake_samples(script, g_model, 6, 9, np.random.default_rng(3))
    points = latent_points(script, 6, 9, np.random.default_rng(3))
    images, *labels = as_list(inputs)
    np.testing.assert_array_equal(images, g_model.predict_on_batch(points))
    assert all(map(np.array_equal, labels, as_list(points)[1:]))
    assert np.array_equal(target, np.full((9, 1), 1 if script is cgan_mnist else 0))


def test_latent_points_are_normal_and_labels_uniform(script):
    latents, *labels = as_list(latent_points(script, 20, 5000, np.random.default_rng(3)))
    assert latents.shape == (5000, 20) and latents.dtype == "float32"
    assert abs(latents.mean()) < 0.02 and abs(latents.std() - 1) < 0.02
    for label in labels:
        numbers = label.argmax(axis=1) if label.shape[1] == 10 else label[:, 0]
        assert np.bincount(numbers, minlength=10).min() > 400


def test_each_class_has_a_label_plane_of_its_own():
    d_model = cgan_mnist.define_discriminator()
    planes = keras.Model(d_model.inputs, d_model.get_layer("label_channels").output)
    drawn = planes.predict_on_batch([np.zeros((10, 28, 28, 1)), np.eye(10)])
    assert np.array_equal(drawn, np.broadcast_to(np.eye(10)[:, None, None], (10, 28, 28, 10)))


def test_the_documents_label_planes_are_scrambled():
    """What cgan_mnist.py says of them: about three rows are lit, in all channels alike."""
    scrambled = np.repeat(np.eye(10)[:, :, None, None], 28 * 28).reshape(10, 28, 28, 10)
    for label in range(10):
        assert 3 <= scrambled[label].any(axis=(1, 2)).sum() <= 4
        assert set(scrambled[label].sum(axis=(0, 1))) <= {78, 79}


def test_the_last_layer_is_the_convolution_of_the_documents(script):
    """With its kernel turned around and its channels exchanged it makes the same images."""
    ours = script.define_generator()
    with reference_recipes.documents_layers(script):
        theirs = script.define_generator()
    assert isinstance(theirs.layers[-2], keras.layers.Conv2D)
    assert isinstance(ours.layers[-2], keras.layers.Conv2DTranspose)
    *others, kernel, bias = ours.get_weights()
    theirs.set_weights([*others, kernel[::-1, ::-1].transpose(0, 1, 3, 2), bias])
    inputs = latent_points(script, script.LATENT_DIM, 3, np.random.default_rng(0))
    images = ours.predict_on_batch(inputs)
    assert images.std() > 0
    np.testing.assert_allclose(theirs.predict_on_batch(inputs), images, atol=1e-6)
