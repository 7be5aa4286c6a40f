"""How the source documents train, in a few lines each, with the networks of our scripts.

For benchmark.py.
"""

import itertools
import time

import cgan_mnist
import wgan_gp_fashion

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def machine_learning_mastery_loop(script, dataset, batch_size):
    """The loop of the tutorial: float images in memory, `predict` for the generated ones.

    Its freeze does nothing on Keras 3 but stop the discriminator; here it is ours.
    """
    d_model, g_model = script.define_discriminator(), script.define_generator()
    gan_model = script.define_gan(g_model, d_model)
    images = (dataset.images.astype("float32") - 127.5) / 127.5
    half, labelled = batch_size // 2, len(g_model.inputs) == 2

    def with_labels(first, labels):
        return [first, labels] if labelled else first

    def latent_points(count):
        latents = np.random.randn(100 * count).reshape(count, 100)
        return with_labels(latents, np.random.randint(0, 10, count))

    def step():
        chosen = np.random.randint(0, len(images), half)
        real = with_labels(images[chosen], dataset.labels[chosen])
        d_model.train_on_batch(real, np.ones((half, 1)))
        points = latent_points(half)
        generated = g_model.predict(points, verbose=0)
        generated = [generated, points[1]] if labelled else generated
        d_model.train_on_batch(generated, np.zeros((half, 1)))
        gan_model.train_on_batch(latent_points(batch_size), np.ones((batch_size, 1)))

    return step


class ConditionalGAN(keras.Model):
    """keras.io's "Conditional GAN": a `train_step` of its own, for `fit`."""

    def __init__(self):
        super().__init__()
        self.d_model, self.g_model = (
            cgan_mnist.define_discriminator(),
            cgan_mnist.define_generator(),
        )
        self.seeds = keras.random.SeedGenerator(0)

    def compile(self):
        super().compile()
        self.d_optimizer = keras.optimizers.Adam(3e-4)
        self.g_optimizer = keras.optimizers.Adam(3e-4)
        self.loss_of = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, data):
        images, labels = data
        count = ops.shape(images)[0]
        latents = keras.random.normal((count, 128), seed=self.seeds)
        generated = self.g_model([latents, labels])
        both = ops.concatenate([generated, images]), ops.concatenate([labels, labels])
        targets = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))])
        with tf.GradientTape() as tape:
            d_loss = self.loss_of(targets, self.d_model(both, training=True))
        weights = self.d_model.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))

        latents = keras.random.normal((count, 128), seed=self.seeds)
        with tf.GradientTape() as tape:
            scores = self.d_model([self.g_model([latents, labels]), labels], training=True)
            g_loss = self.loss_of(ops.zeros((count, 1)), scores)
        weights = self.g_model.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}


class StepTimes(keras.callbacks.Callback):
    """Seconds of each step of `fit`."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.perf_counter() - self.started)


def time_conditional_gan_fit(dataset, batch_size, count):
    """Seconds of each of `count` steps of `fit`."""
    images = dataset.images.astype("float32") / 255
    labels = keras.utils.to_categorical(dataset.labels, 10)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(1024).batch(batch_size)
    model, times = ConditionalGAN(), StepTimes()
    model.compile()
    model.fit(data.repeat(), steps_per_epoch=count, verbose=0, callbacks=[times])
    return times.seconds


def wgan_gp_train_step(dataset, batch_size, critic_steps=3, penalty_weight=10.0):
    """keras.io's "WGAN-GP": its `train_step` as one `tf.function`, on whole batches."""
    critic, g_model = wgan_gp_fashion.define_critic(), wgan_gp_fashion.define_generator()
    critic_optimizer, g_optimizer = wgan_gp_fashion.adam(), wgan_gp_fashion.adam()
    images = (dataset.images.astype("float32") - 127.5) / 127.5
    data = tf.data.Dataset.from_tensor_slices(images).shuffle(1024).batch(batch_size, True)
    batches = itertools.cycle(data.prefetch(2))

    @tf.function
    def train_step(real):
        for _ in range(critic_steps):
            latents = tf.random.normal((batch_size, wgan_gp_fashion.LATENT_DIM))
            with tf.GradientTape() as tape:
                generated = g_model(latents, training=True)
                cost = tf.reduce_mean(critic(generated, training=True))
                cost -= tf.reduce_mean(critic(real, training=True))
                share = tf.random.normal((batch_size, 1, 1, 1))
                between = real + share * (generated - real)
                with tf.GradientTape() as inner:
                    inner.watch(between)
                    score = critic(between, training=True)
                gradient = inner.gradient(score, between)
                norm = tf.sqrt(tf.reduce_sum(gradient**2, axis=(1, 2, 3)))
                cost += penalty_weight * tf.reduce_mean((norm - 1.0) ** 2)
            weights = critic.trainable_weights
            critic_optimizer.apply_gradients(
                zip(tape.gradient(cost, weights), weights, strict=True)
            )
        latents = tf.random.normal((batch_size, wgan_gp_fashion.LATENT_DIM))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(critic(g_model(latents, training=True), training=True))
        weights = g_model.trainable_weights
        g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))

    return lambda: train_step(next(batches))
