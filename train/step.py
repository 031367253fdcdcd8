"""One optimisation step: the network, its training-only parts, and the weighted sum of the stage's losses."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from edgeface.recipe import Recipe, Stage
from edgeface.train import losses
from edgeface.train.averaging import averages_of, move_averages, move_norm, moving_variable
from edgeface.train.distillation import DistillationHead, distillation_losses
from edgeface.train.graph_passes import without_graph_passes
from edgeface.train.optimizer import make_optimizer

TRIPLET_SIZE = 128
Batch = dict[str, tf.Tensor]


class Learner(tf.Module):
    """The network in training with everything a checkpoint must hold to go on as if never stopped.

    Built inside the strategy's scope. `teacher` is a live, frozen teacher; `teacher_size` is the width of its
    pre-logits when there is a teacher at all, live or cached. What a recipe does not use makes no variables, so that
    a checkpoint holds the same whichever switches there are besides.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        recipe: Recipe,
        *,
        teacher: tf_keras.Model | None = None,
        teacher_size: int | None = None,
    ):
        super().__init__()
        embedding_size, classes = model.output["embedding"].shape[-1], model.output["logits"].shape[-1]
        self.model = model
        self.recipe = recipe
        # Behind a function, where tf.Module does not look: a frozen teacher is not part of the checkpoint.
        self._teacher = lambda: teacher
        self.triplet_head = tf_keras.layers.Dense(TRIPLET_SIZE, name="triplet_head", dtype="float32")
        self.triplet_head.build((None, embedding_size))
        self.distillation_head = None
        if teacher_size:
            self.distillation_head = DistillationHead(teacher_size, classes)
            self.distillation_head(tf.zeros((1, embedding_size)))
        self.centers = tf.Variable(
            tf.zeros((classes, embedding_size)),
            trainable=False,
            name="centers",
            aggregation=tf.VariableAggregation.MEAN,
        )
        self.averages = averages_of(model) if recipe.average_decay else None
        self.embedding_norm = moving_variable(0.0, "embedding_norm") if recipe.head == "arcface" else None
        self.optimizer = make_optimizer(recipe, self.weights_to_train)

    @property
    def teacher(self) -> tf_keras.Model | None:
        """The live, frozen teacher, None where there is none or its outputs are stored."""
        return self._teacher()

    @property
    def weights_to_train(self) -> list[tf.Variable]:
        """The network's trainable weights and those of the training-only heads."""
        weights = self.model.trainable_weights + self.triplet_head.trainable_weights
        return weights + (self.distillation_head.trainable_weights if self.distillation_head else [])

    def teacher_outputs(self, batch: Batch) -> Batch | None:
        """The teacher's outputs for a batch: stored ones, or those of the live teacher, or None."""
        if "teacher_logits" in batch:
            return {"embedding": batch["teacher_embedding"], "logits": batch["teacher_logits"]}
        return None if self.teacher is None else self.teacher(batch["image"], training=False)

    def losses(self, stage: Stage, batch: Batch, outputs: Batch, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """The stage's weighted losses by name at a step (int32, over all stages). Their sum is what is minimised."""
        embedding, logits, labels = outputs["embedding"], outputs["logits"], batch["label"]
        if self.recipe.head == "arcface":
            margin = losses.growing_margin(self.recipe.arcface_margin, self.recipe.arcface_margin_steps, step)
            logits = losses.with_angular_margin(logits, labels, margin, self.recipe.arcface_scale)
        sample_losses = losses.cross_entropy(logits, labels, self.recipe.label_smoothing)
        if stage.hard_instance_mining:
            sample_losses *= losses.hard_instance_weights(sample_losses)
        terms = {"cross_entropy": tf.reduce_mean(sample_losses)}
        if stage.center_loss:
            terms["center"] = stage.center_loss * losses.center_loss(embedding, labels, self.centers)
        if stage.pre_logit_norm:
            terms["pre_logit_norm"] = stage.pre_logit_norm * losses.pre_logit_norm(embedding)
        if stage.triplet:
            terms["triplet"] = stage.triplet * losses.batch_hard_triplet(self.triplet_head(embedding), labels)
        teacher = self.teacher_outputs(batch)
        if teacher is not None and self.distillation_head is not None:
            terms |= distillation_losses(self.recipe.distillation, self.distillation_head, outputs, teacher)
        return terms


def make_step(learner: Learner, stage: Stage, strategy: tf.distribute.Strategy) -> Callable[[Batch, tf.Tensor], Batch]:
    """Compile the training step of a stage.

    It takes a (distributed) batch and int32 (2,), the run's seed and the number of the step over all stages, which
    decide the dropout; it returns named float32 scalars.
    """

    model, recipe = learner.model, learner.recipe
    trunk = tf_keras.Model(model.input, model.get_layer("embedding").output)
    classify = _classifier(model, recipe)

    def replica_step(batch: Batch, seed: tf.Tensor) -> Batch:
        replica, replicas = tf.distribute.get_replica_context().replica_id_in_sync_group, strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            embedding = trunk(batch["image"], training=True)
            # Keras' own dropout keeps hidden state that a checkpoint does not hold; this follows from the step alone.
            seeds = tf.random.experimental.stateless_fold_in(seed, replica)
            kept = tf.nn.experimental.stateless_dropout(embedding, recipe.dropout, seeds)
            outputs = {"embedding": embedding, "logits": classify(kept)}
            terms = learner.losses(stage, batch, outputs, seed[1])
            total = tf.add_n(list(terms.values()))
            scaled = total / replicas
        weights = learner.weights_to_train
        gradients = tape.gradient(scaled, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        learner.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        if stage.center_loss:
            learner.centers.assign(
                losses.moved_centers(outputs["embedding"], batch["label"], learner.centers, replicas)
            )
        if learner.averages is not None:
            move_averages(learner.averages, model.weights, recipe.average_decay, seed[1])
        if learner.embedding_norm is not None:
            move_norm(learner.embedding_norm, outputs["embedding"])
        hits = tf.equal(tf.argmax(outputs["logits"], axis=1, output_type=tf.int32), batch["label"])
        return {"loss": total, "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32)), **terms}

    @tf.function
    def step(batch: Batch, seed: tf.Tensor) -> Batch:
        results = strategy.run(replica_step, args=(batch, seed))
        return {name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, None) for name, value in results.items()}

    return without_graph_passes(step)


def _classifier(model: tf_keras.Model, recipe: Recipe) -> Callable[[tf.Tensor], tf.Tensor]:
    """Pre-logits (batch, size) to the logits (batch, classes) that are trained."""
    layer = model.get_layer("logits")
    if recipe.head == "softmax":
        return layer
    return lambda embedding: losses.cosine_logits(embedding, layer.kernel, recipe.arcface_scale)
