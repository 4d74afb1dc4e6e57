"""Training of a small BigGAN-deep on views, which the method `ganorama` makes panoramas with."""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.diffusion.loading import DTYPES, check_dtype
from aognet.diffusion.sampling.noise import uniform
from aognet.diffusion.saved import save_trained
from aognet.errors import UserError
from aognet.gan.augmentation import AugmentationConfig, augmented, drawn_numbers
from aognet.gan.biggan import BigGan, BigGanConfig
from aognet.gan.discriminator import Discriminator, DiscriminatorConfig, hinge_of_discriminator
from aognet.gan.projected import ProjectedDiscriminator, ProjectedDiscriminatorConfig
from aognet.gan.reconstruction import CODED, ReconstructionConfig, ViewEncoder, information, view_distance
from aognet.gan.spectral import folded, normed, settle, steady
from aognet.gan.standing import measure_statistics
from aognet.gan.truncation import truncated_z
from aognet.gan.view_directions import DIRECTIONS, directed, knows_directions
from aognet.nn.optimized_parts import OptimizedParts, Phase
from aognet.nn.weights import part_tensors
from aognet.perception.pyramid import STEP, FeaturePyramid

METHOD = "ganorama"
# Streams of a sample's seed; those of z are numbered by the phase.
PHASES = ("discriminator", "generator")
Z, REAL, GENERATED, KIND, PITCH, SHOWN = 0, 10, 20, 30, 31, 32


@dataclass(frozen=True, kw_only=True)
class SavedGenerator:
    """What ``config.json`` says of a trained generator besides the method."""

    generator: BigGanConfig


class GanTraining(nn.Module):
    """A generator and a discriminator with hinge losses, spectral norms and differentiable augmentation, and an encoder
    whose z bring views back, if the configuration says so.

    The prompt of a view is the name of its class. It writes a folder of the method ``ganorama``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Both networks, and what is saved.

        ``discriminator`` sees images; ``projected`` sees frozen features of them. A training has one of them, the first
        with its defaults if neither is given. ``generator.class_names`` names the classes; where the last two are
        ``looking up`` and ``looking down``, views have a share of them by their pitch. ``reconstruction``: views come
        back, too (`aognet.gan.reconstruction`); it needs ``projected``, in whose features they are compared.
        ``statistics_batches``: how many batches of 64 images the norms' statistics are measured with for each
        truncation, when the model is saved. ``dtype``: that of the weights in the file.
        """

        generator: BigGanConfig
        discriminator: DiscriminatorConfig | None = None
        projected: ProjectedDiscriminatorConfig | None = None
        reconstruction: ReconstructionConfig | None = None
        augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
        statistics_batches: int = 4
        dtype: str = "float16"

        def __post_init__(self) -> None:
            check_dtype(self.dtype)
            if not self.generator.class_names or self.generator.class_names == list(DIRECTIONS):
                raise UserError("must name the classes, which the prompts of views are", key="generator.class_names")
            if self.projected and self.discriminator:
                raise UserError("and projected exclude each other; one must be null", key="discriminator")
            if self.reconstruction and not self.projected:
                raise UserError("compares features: projected must say which", key="reconstruction")
            if not self.projected and self.generator.size % self.of_images.factor:
                raise UserError(
                    f"halve {self.generator.size} pixels too often",
                    key="discriminator.channels",
                    value=[*self.of_images.channels],
                )
            if self.statistics_batches < 1:
                raise UserError("must be at least 1", key="statistics_batches", value=self.statistics_batches)

        @property
        def of_images(self) -> DiscriminatorConfig:
            """The discriminator that sees images."""
            return self.discriminator or DiscriminatorConfig()

    find_unused_parameters = False

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.generator = BigGan(config.generator)
        self.pyramid = (
            FeaturePyramid.load(config.projected.features, config.projected.size) if config.projected else None
        )
        self.discriminator = self._discriminator()
        self.encoder = self._encoder()
        # The embeddings of the generator's classes have no spectral norm, as in the public weights.
        normed(self.generator, but=(self.generator.embeddings,))
        normed(self.discriminator)
        # As large as the numbers of z beside them. Orthogonal ones are the smaller, the more dimensions and classes.
        nn.init.normal_(self.generator.embeddings.weight)
        names = config.generator.class_names
        self.has_directions = knows_directions(names)
        self.kinds = names[:-2] if self.has_directions else names
        self._numbers = {name: number for number, name in enumerate(self.kinds)}

    def _discriminator(self) -> Discriminator | ProjectedDiscriminator:
        config, classes = self.config, self.config.generator.classes
        if config.projected is None or self.pyramid is None:
            return Discriminator(config.of_images, classes)
        return ProjectedDiscriminator(config.projected, self.pyramid.channels, classes, self.pyramid.digest)

    def _encoder(self) -> ViewEncoder | None:
        config = self.config
        if config.reconstruction is None or config.projected is None or self.pyramid is None:
            return None
        coarsest = config.projected.size // STEP
        return ViewEncoder(self.pyramid.channels[-CODED:], coarsest, config.generator.z_dim, config.reconstruction)

    def trainable_parts(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        return parts if self.encoder is None else parts | {"encoder": self.encoder}

    def optimizers(self) -> dict[str, OptimizedParts]:
        painters = tuple(name for name in self.trainable_parts() if name != "discriminator")
        judging = Phase(name="discriminator", start=self._adversarial_start)
        return {
            "discriminator": OptimizedParts(parts=("discriminator",), phases=(judging,), averaged=False),
            "generator": OptimizedParts(parts=painters, phases=(Phase(name="generator"),)),
        }

    @property
    def _adversarial_start(self) -> int:
        return self.config.reconstruction.adversarial_start if self.config.reconstruction else 0

    def training_step(self, batch: Any, phase: str, step: int) -> dict[str, Tensor]:
        """Return the hinge loss of one side (Brock et al. 2019, section 3) and the mean scores; with an encoder the
        generator's has how far views that come back are from what they were, and what their z tell.

        Generated images have the classes and pitches of the batch's views.
        """
        with steady(self):
            classes = self.classes_of(batch)
            if phase == "discriminator":
                return self._judging(batch, classes)
            return self._painting(batch, classes, step >= self._adversarial_start)

    def _painting(self, batch: Any, classes: Tensor, is_judged: bool) -> dict[str, Tensor]:
        """Return the generator's losses. With an encoder, half of the images is judged and the other half comes back:
        what the discriminator says of images would otherwise fill the encoder's z.
        """
        z = self._z(batch, Z + PHASES.index("generator")).to(classes.device)
        drawn = len(z) if self.encoder is None else len(z) // 2 if is_judged else 0
        if self.encoder is None:
            images, found = self.generator(z, classes), {"loss": torch.zeros((), device=classes.device)}
        else:
            images, found = self._brought_back(batch, z, classes, drawn)
        if drawn:
            seen = self._seen(images[:drawn], batch.seeds[:drawn], GENERATED + 1)
            found["loss"] = found["loss"] - self._scores(seen, classes[:drawn]).mean()
        return found

    def _brought_back(self, batch: Any, z: Tensor, classes: Tensor, drawn: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return images of which the first ``drawn`` are of z alone, and the losses of those that come back."""
        assert self.encoder is not None and self.pyramid is not None and self.config.reconstruction is not None
        truth = batch.images[drawn:]
        of_truth = self.pyramid(truth)
        mean, log_variance = self.encoder(of_truth, truth)
        images = self.generator(torch.cat([z[:drawn], mean + (log_variance / 2).exp() * z[drawn:]]), classes)
        distance = view_distance(images[drawn:], truth, self.pyramid(images[drawn:]), of_truth)
        nats = information(mean, log_variance)
        config = self.config.reconstruction
        loss = config.weight * distance + config.information_weight * nats
        return images, {"loss": loss, "distance": distance.detach(), "nats": nats.detach()}

    def _judging(self, batch: Any, classes: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            images = self.generator(self._z(batch, Z + PHASES.index("discriminator")).to(classes.device), classes)
        real = self._scores(self._seen(batch.images, batch.seeds, REAL), classes)
        generated = self._scores(self._seen(images, batch.seeds, GENERATED), classes)
        scores = {"real": real.detach().mean(), "generated": generated.detach().mean()}
        return {"loss": hinge_of_discriminator(real, generated)} | scores

    def _scores(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return float32 scores, one or several of each image."""
        if self.pyramid is None:
            return self.discriminator(images, classes).float()
        assert isinstance(self.discriminator, ProjectedDiscriminator), "the pyramid is there for it"
        self.discriminator.check_features(self.pyramid.digest)
        return self.discriminator(self.pyramid(images), classes).float()

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return how real views look to the discriminator: held-out ones less than those trained on, if it knows these
        by heart (Karras et al. 2020, section 3).
        """
        scores = self._scores(batch.images, self.classes_of(batch))
        return {"loss": (1 - scores).relu().mean(), "real": scores.mean()}

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return views and generated images of their classes, normalised by themselves as in training."""
        z, classes = self._z(batch, SHOWN), self.classes_of(batch)
        generator = self._folded(self.generator).train()
        shown = {"views": batch.images, "generated": generator(z.to(classes.device), classes).float()}
        if self.encoder is not None and self.pyramid is not None:
            mean, _ = self.encoder(self.pyramid(batch.images), batch.images)
            shown["brought back"] = generator(mean, classes).float()
        return shown

    def enable_gradient_checkpointing(self) -> None:
        """Refuse it: the networks are small, and a second pass would change their norms."""
        raise UserError("is not for this training", key="trainer.gradient_checkpointing")

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``: the generator without spectral norms, with standing
        statistics for its truncations.
        """
        finished = self.finished().to(DTYPES[self.config.dtype])
        parts: dict[str, nn.Module] = {"generator": finished}
        if not all(bool(value.isfinite().all()) for value in part_tensors(parts).values()):
            raise UserError(f"{folder}: a weight does not fit dtype {self.config.dtype!r}")
        save_trained(folder, SavedGenerator(generator=self.config.generator), parts, METHOD)

    @torch.no_grad()
    def finished(self) -> BigGan:
        """Return the generator of the weights as they are now as it is saved, float32."""
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            copy = deepcopy(self.generator)
            settle(copy)
            finished = self._folded(copy)
            measure_statistics(finished, self.drawn_classes, self.config.statistics_batches)
        return finished

    def _folded(self, generator: BigGan) -> BigGan:
        """Return a copy without spectral norms."""
        copy = BigGan(self.config.generator)
        copy.load_state_dict(folded(generator))
        return copy.to(next(generator.parameters()).device).eval()

    def drawn_classes(self, seeds: list[int]) -> Float[Tensor, "batch classes"]:
        """Return the weights of a random class of each seed, seen at a random pitch."""
        rows = torch.tensor(seeds)
        numbers = (uniform(rows, KIND) * len(self.kinds)).long().clamp(max=len(self.kinds) - 1)
        return self._weights(numbers, uniform(rows, PITCH) * 180 - 90)

    def classes_of(self, batch: Any) -> Float[Tensor, "batch classes"]:
        """Return the weights of the classes of each view.

        :raises UserError: for a prompt that names no class.
        """
        unknown = next((prompt for prompt in batch.prompts if prompt not in self._numbers), None)
        if unknown is not None:
            raise UserError(
                f"data.*.captions: {unknown!r:.80} is no class; model.generator.class_names has {len(self.kinds)}, "
                f"such as {self.kinds[0]!r} (misc/name_kinds.py writes such captions)"
            )
        numbers = torch.tensor([self._numbers[prompt] for prompt in batch.prompts])
        return self._weights(numbers, batch.pitch_degrees).to(batch.images.device)

    def _weights(self, numbers: Tensor, pitch_degrees: Tensor) -> Tensor:
        classes = nn.functional.one_hot(numbers, self.config.generator.classes).float()
        return directed(classes, pitch_degrees) if self.has_directions else classes

    def _z(self, batch: Any, stream: int) -> Tensor:
        return truncated_z(batch.seeds.tolist(), self.config.generator.z_dim, stream=stream)

    def _seen(self, images: Tensor, seeds: Tensor, stream: int) -> Tensor:
        return augmented(images, drawn_numbers(seeds, stream), self.config.augmentation)
