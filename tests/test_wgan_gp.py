"""The Wasserstein GAN: the penalty by other means, and who changes what."""

import wgan_gp_fashion as wgan
from common.data import datasets

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY, OneEpoch, same, state
from keras import layers


def batch(count, seed=0):
    """Real images, generated images and shares between them, as the critic's trainer takes them."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (2, count, 28, 28, 1)).astype("float32")
    return [*images, rng.random((count, 1, 1, 1), dtype="float32")]


def targets(count):
    one = np.ones((count, 1), "float32")
    return {"real_score": -one, "generated_score": one, "gradient_norm": one}


def small_critic():
    """A critic that is quick, smooth, and the same in training and out of it."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(3, 5, strides=4, activation="tanh")(image)
    return keras.Model(image, layers.Dense(1)(layers.Flatten()(x)))


def linear_critic(weights):
    image = keras.Input((28, 28, 1), name="image")
    critic = keras.Model(image, layers.Dense(1)(layers.Flatten()(image)))
    critic.set_weights([weights.reshape(784, 1), np.array([0.3])])
    return critic


def penalty_by_tape(critic, images):
    """The penalty and the norms, independently of GradientNorm."""
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        score = critic(images)
    norm = tf.sqrt(tf.reduce_sum(tf.square(tape.gradient(score, images)), axis=[1, 2, 3]))
    return tf.reduce_mean((norm - 1.0) ** 2), norm


def test_parameter_counts():
    assert wgan.define_critic().count_params() == 4_305_409
    g_model = wgan.define_generator()
    assert g_model.count_params() == 910_660
    trainable = sum(np.prod(variable.shape) for variable in g_model.trainable_variables)
    assert trainable == 902_082
    assert g_model.inputs[0].name == "latent" and g_model.inputs[0].shape == (None, 128)
    assert g_model.output_shape == (None, 28, 28, 1)


@pytest.mark.parametrize("critic", [small_critic, wgan.define_critic])
def test_gradient_norm_and_its_derivative_equal_two_nested_tapes(critic):
    critic = critic()
    images, *_ = batch(4)
    with tf.GradientTape() as tape:
        penalty, norm = penalty_by_tape(critic, images)
    gradient = tape.gradient(penalty, critic.trainable_weights)
    with tf.GradientTape() as tape:
        ours = wgan.GradientNorm(critic)(images, training=False)
        our_penalty = tf.reduce_mean((ours - 1.0) ** 2)
    our_gradient = tape.gradient(our_penalty, critic.trainable_weights)
    assert ours.shape == (4, 1)
    np.testing.assert_allclose(ours[:, 0], norm, rtol=1e-5)
    np.testing.assert_allclose(our_penalty, penalty, rtol=1e-5)
    for one, other in zip(our_gradient, gradient, strict=True):
        if other is None:  # a bias of the last layer
            assert one is None
        else:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_trainers_loss_and_update_by_hand():
    critic = small_critic()
    trainer = wgan.define_critic_trainer(critic, penalty_weight=7.0)
    inputs = batch(6)
    real, generated, share = inputs
    with tf.GradientTape() as tape:
        scores = tf.reduce_mean(critic(real)), tf.reduce_mean(critic(generated))
        penalty, norm = penalty_by_tape(critic, real + share * (generated - real))
        loss = scores[1] - scores[0] + 7.0 * penalty
    gradient = tape.gradient(loss, critic.trainable_weights)
    before = critic.get_weights()
    logged = trainer.train_on_batch(inputs, targets(6), return_dict=True)
    np.testing.assert_allclose(logged["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(logged["real_score_loss"], -scores[0], rtol=1e-5)
    np.testing.assert_allclose(logged["generated_score_loss"], scores[1], rtol=1e-5)
    np.testing.assert_allclose(logged["gradient_norm_loss"], penalty, rtol=1e-5)
    np.testing.assert_allclose(logged["gradient_norm_mean"], np.mean(norm), rtol=1e-5)
    # Adam's first step is the learning rate times g / (|g| + epsilon).
    for old, new, slope in zip(before, critic.get_weights(), gradient, strict=True):
        step = 2e-4 * slope / (np.abs(slope) + 1e-7)
        large = np.abs(slope) > 1e-4
        np.testing.assert_allclose((old - new)[large], step[large], rtol=2e-2, atol=1e-7)


def test_no_nan_where_the_gradient_is_zero():
    critic = linear_critic(np.zeros(784))
    with tf.GradientTape() as tape:
        norm = wgan.GradientNorm(critic)(batch(3)[0])
        penalty = tf.reduce_mean((norm - 1.0) ** 2)
    np.testing.assert_allclose(norm, np.zeros((3, 1)), atol=1e-6)
    gradient = tape.gradient(penalty, critic.trainable_weights[0])
    assert np.array_equal(gradient, np.zeros((784, 1)))
    trainer = wgan.define_critic_trainer(critic)
    assert np.isfinite(trainer.train_on_batch(batch(3), targets(3))).all()
    assert all(np.isfinite(weights).all() for weights in critic.get_weights())


def test_optimizers():
    critic, g_model = small_critic(), wgan.define_generator(latent_dim=6)
    for model in (wgan.define_critic_trainer(critic), wgan.define_gan(g_model, critic)):
        optimizer = model.optimizer
        assert isinstance(optimizer, keras.optimizers.Adam)
        np.testing.assert_allclose(float(optimizer.learning_rate), 2e-4, rtol=1e-6)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.9)


def test_each_call_changes_its_own_model_only():
    critic, g_model = wgan.define_critic(), wgan.define_generator(latent_dim=6)
    trainer, gan_model = wgan.define_critic_trainer(critic), wgan.define_gan(g_model, critic)
    training_generator = wgan.define_training_generator(g_model)
    rng = np.random.default_rng(0)
    for call, n in (("g", 4), ("c", 6), ("g", 4), ("c", 6)):
        of_critic, of_generator = state(critic), state(g_model)
        if call == "c":
            real, _, share = batch(n)
            generated = training_generator.predict_on_batch(wgan.generate_latent_points(6, n, rng))
            trainer.train_on_batch([real, generated, share], targets(n))
        else:
            latents = wgan.generate_latent_points(6, n, rng)
            gan_model.train_on_batch(latents, -np.ones((n, 1)))
        assert same(of_critic, state(critic)) == (call == "g")
        assert same(of_generator, state(g_model)) == (call == "c")


def test_which_batch_statistics_are_used_and_updated():
    critic, g_model = small_critic(), wgan.define_generator(latent_dim=6)
    gan_model = wgan.define_gan(g_model, critic)
    training_generator = wgan.define_training_generator(g_model)
    latents = wgan.generate_latent_points(6, 8, np.random.default_rng(0))

    def moving_averages():
        return [np.copy(variable.numpy()) for variable in g_model.non_trainable_variables]

    start = moving_averages()
    for_the_critic = training_generator.predict_on_batch(latents)
    sampled = g_model.predict_on_batch(latents)
    assert all(map(np.array_equal, start, moving_averages()))
    gan_model.train_on_batch(latents, -np.ones((8, 1)))
    assert not any(map(np.array_equal, start, moving_averages()))

    assert np.abs(for_the_critic - sampled).max() > 0.1
    # Alone, a latent is another batch for the critic, and the same picture for a sample.
    alone = g_model.predict_on_batch(latents[:1])
    np.testing.assert_allclose(alone, g_model.predict_on_batch(latents)[:1], atol=1e-5)
    alone = training_generator.predict_on_batch(latents[:4])
    assert np.abs(alone - training_generator.predict_on_batch(latents)[:4]).max() > 0.1


def test_a_step_is_so_many_critic_updates_and_one_of_the_generator(monkeypatch):
    critic, g_model = small_critic(), wgan.define_generator(latent_dim=6)
    trainer, gan_model = wgan.define_critic_trainer(critic), wgan.define_gan(g_model, critic)
    calls = []
    for name, model in (("critic", trainer), ("gan", gan_model)):

        def recording(inputs, target, name=name, original=model.train_on_batch, **options):
            calls.append((name, {len(array) for array in keras.tree.flatten([inputs, target])}))
            return original(inputs, target, **options)

        monkeypatch.setattr(model, "train_on_batch", recording)
    dataset = datasets.load_fashion_mnist("sample")
    dataset = dataset._replace(images=dataset.images[:21])
    run = OneEpoch()
    models = g_model, wgan.define_training_generator(g_model), trainer, gan_model
    wgan.train(*models, dataset, 10, 3, run)
    assert calls == ([("critic", {5})] * 3 + [("gan", {10})]) * 2
    logged = ["wasserstein", "gradient_penalty", "gradient_norm", "g_loss"]
    assert [list(losses) for losses in run.logged] == [logged] * 2


def test_bad_numbers(error_of, tmp_path):
    for option, words in (
        (["--critic-steps", "0"], "--critic-steps: 0 is not between 1 and"),
        (["--penalty-weight", "-1"], "--penalty-weight: -1 is not between 0 and"),
        (["--penalty-weight", "nan"], "--penalty-weight: nan is not"),
        (["--penalty-weight", "much"], "'much' is not a number"),
    ):
        assert words in error_of(wgan.main, *option, *TINY, "--out", str(tmp_path / "run"))


def test_leaky_relu_is_the_layer():
    x = np.linspace(-3, 3, 13, dtype="float32")  # zero among them
    expected = keras.layers.LeakyReLU(0.2)(x)
    np.testing.assert_allclose(wgan.leaky_relu(tf.constant(x)), expected, rtol=1e-6)
