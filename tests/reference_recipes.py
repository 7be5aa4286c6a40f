"""How the source documents train, in a few lines each, with networks as the documents have them.

For benchmark.py.
"""

import itertools
from types import SimpleNamespace
from unittest import mock

import cgan_fashion
import cgan_mnist
import gaugan_facades
import wgan_gp_fashion
from common.data import facades

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def documents_layers(script):
    """While this lasts, a script's generator ends in a Conv2D, as the documents' do."""

    def convolution(filters, *arguments, **options):
        kind = layers.Conv2D if filters == 1 else layers.Conv2DTranspose
        return kind(filters, *arguments, **options)

    theirs = SimpleNamespace(**vars(layers) | {"Conv2DTranspose": convolution})
    return mock.patch.object(script, "layers", theirs, create=True)


def machine_learning_mastery_loop(script, dataset, batch_size):
    """The loop of the tutorial: float images in memory, `predict` for the generated ones.

    Its freeze does nothing on Keras 3 but stop the discriminator; here it is ours.
    """
    with documents_layers(script):
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


def update(model, optimizer, tape, loss):
    """A step down the gradient of a loss."""
    weights = model.trainable_weights
    optimizer.apply(tape.gradient(loss, weights), weights)


def conditional_gan_train_step(dataset, batch_size):
    """keras.io's "Conditional GAN": its `train_step` as one `tf.function`, on whole batches."""
    d_model = cgan_mnist.define_discriminator()
    with documents_layers(cgan_mnist):
        g_model = cgan_mnist.define_generator()
    d_optimizer, g_optimizer = keras.optimizers.Adam(3e-4), keras.optimizers.Adam(3e-4)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    images = dataset.images.astype("float32") / 255
    labels = keras.utils.to_categorical(dataset.labels, 10)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).repeat().shuffle(1024)
    batches = iter(data.batch(batch_size).prefetch(2))

    @tf.function
    def train_step(images, labels):
        latents = tf.random.normal((batch_size, 128))
        both = tf.concat([g_model([latents, labels]), images], axis=0)
        targets = tf.concat([tf.ones((batch_size, 1)), tf.zeros((batch_size, 1))], axis=0)
        with tf.GradientTape() as tape:
            scores = d_model([both, tf.concat([labels, labels], axis=0)], training=True)
            d_loss = loss_of(targets, scores)
        update(d_model, d_optimizer, tape, d_loss)

        latents = tf.random.normal((batch_size, 128))
        with tf.GradientTape() as tape:
            scores = d_model([g_model([latents, labels]), labels], training=True)
            g_loss = loss_of(tf.zeros((batch_size, 1)), scores)
        update(g_model, g_optimizer, tape, g_loss)

    return lambda: train_step(*next(batches))


def wgan_gp_train_step(dataset, batch_size, critic_steps=3, penalty_weight=10.0):
    """keras.io's "WGAN-GP": its `train_step` as one `tf.function`, on whole batches."""
    with mock.patch.object(wgan_gp_fashion, "leaky_relu", layers.LeakyReLU(0.2)):
        critic, g_model = wgan_gp_fashion.define_critic(), wgan_gp_fashion.define_generator()
    critic_optimizer, g_optimizer = (keras.optimizers.Adam(2e-4, 0.5, 0.9) for _ in range(2))
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
            update(critic, critic_optimizer, tape, cost)
        latents = tf.random.normal((batch_size, wgan_gp_fashion.LATENT_DIM))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(critic(g_model(latents, training=True), training=True))
        update(g_model, g_optimizer, tape, g_loss)

    return lambda: train_step(next(batches))


def gaugan_train_step(dataset, batch_size, sizes, latent_dim):
    """keras.io's "GauGAN": its `train_step` as one `tf.function`, on whole batches, without VGG19.

    The crops are cut beforehand; the document reads and cuts them as it goes.
    """
    encoder = gaugan_facades.define_encoder(latent_dim=latent_dim, **sizes)
    g_model = gaugan_facades.define_generator(latent_dim=latent_dim, **sizes)
    d_model = gaugan_facades.define_discriminator(**sizes)
    g_optimizer, d_optimizer = (keras.optimizers.Adam(rate, 0.0, 0.999) for rate in (1e-4, 4e-4))
    crops = facades.centre_crops(dataset, sizes["image_size"])
    data = tf.data.Dataset.from_tensor_slices(tuple(facades.to_inputs(*crops)))
    batches = iter(data.repeat().shuffle(100).batch(batch_size).prefetch(2))

    @tf.function
    def train_step(image, colours, layout):
        mean, log_variance = encoder(image)
        noise = tf.random.normal(tf.shape(mean))
        latent = gaugan_facades.draw_latent(mean, log_variance, noise)

        painting = g_model([latent, layout], training=True)
        with tf.GradientTape() as tape:
            d_loss = tf.reduce_mean(tf.nn.relu(1 + d_model([colours, painting])[-1])) / 2
            d_loss += tf.reduce_mean(tf.nn.relu(1 - d_model([colours, image])[-1])) / 2
        update(d_model, d_optimizer, tape, d_loss)

        *real_features, _ = d_model([colours, image])
        with tf.GradientTape() as tape:
            *features, score = d_model([colours, g_model([latent, layout], training=True)])
            g_loss = -tf.reduce_mean(score)
            g_loss += 0.1 * tf.reduce_sum(gaugan_facades.kl_divergence(mean, log_variance))
            for real, generated in zip(real_features, features, strict=True):
                g_loss += 10 * tf.reduce_mean(tf.abs(real - generated))
        update(g_model, g_optimizer, tape, g_loss)

    return lambda: train_step(*next(batches))


def shrunk_cgan():
    """cgan_fashion with all its layers, on images of 4 x 4 pixels, and with one filter in each."""

    def define_discriminator():
        label, image = keras.Input((1,), dtype="int32"), keras.Input((4, 4, 1))
        plane = layers.Reshape((4, 4, 1))(layers.Dense(4 * 4)(cgan_fashion.embed(label, 10, 1)))
        x = layers.Concatenate()([image, plane])
        for _ in range(2):
            x = layers.LeakyReLU(0.2)(layers.Conv2D(1, 3, strides=2, padding="same")(x))
        x = layers.Dropout(0.4)(layers.Flatten()(x))
        model = keras.Model([image, label], layers.Dense(1, activation="sigmoid")(x))
        model.compile(
            loss="binary_crossentropy", optimizer=cgan_fashion.adam(), metrics=["accuracy"]
        )
        return model

    def define_generator():
        label, latent = keras.Input((1,), dtype="int32"), keras.Input((cgan_fashion.LATENT_DIM,))
        plane = layers.Reshape((1, 1, 1))(layers.Dense(1)(cgan_fashion.embed(label, 10, 1)))
        x = layers.LeakyReLU(0.2)(layers.Dense(1)(latent))
        x = layers.Concatenate()([layers.Reshape((1, 1, 1))(x), plane])
        for _ in range(2):
            x = layers.Conv2DTranspose(1, 4, strides=2, padding="same")(x)
            x = layers.LeakyReLU(0.2)(x)
        image = layers.Conv2D(1, 7, padding="same", activation="tanh")(x)
        return keras.Model([latent, label], image)

    changed = {"define_discriminator": define_discriminator, "define_generator": define_generator}
    return SimpleNamespace(**vars(cgan_fashion) | changed)
