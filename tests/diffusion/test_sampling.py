"""Noise that belongs to its sample, schedulers by name, and the loop on a denoiser with a known answer."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor
from torch.testing import assert_close

from aognet.diffusion.condition import TextCondition
from aognet.diffusion.sampling.denoise import denoise, guided
from aognet.diffusion.sampling.noise import generators, noise_like, normal, uniform, uniform_timesteps
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import SCHEDULERS, make_scheduler
from aognet.errors import UserError
from tests.tiny import tiny_scheduler

CONFIG = tiny_scheduler().config
SEEDS = torch.tensor([4, 9, 2**40, -1])


def test_a_row_depends_on_its_seed_and_the_stream_alone() -> None:
    latents = torch.zeros(4, 4, 8, 8)
    noise = noise_like(latents, SEEDS, stream=1)
    for row in range(4):
        assert torch.equal(noise_like(latents[:1], SEEDS[row : row + 1], stream=1)[0], noise[row])
    assert torch.equal(noise_like(latents, SEEDS.flip(0), stream=1), noise.flip(0))
    assert not torch.equal(noise_like(latents, SEEDS, stream=2), noise)
    assert len({float(row[0, 0, 0]) for row in noise}) == 4


def test_noise_is_standard_normal_and_keeps_device_and_precision() -> None:
    noise = noise_like(torch.zeros(64, 4, 16, 16), torch.arange(64), stream=0)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    half = noise_like(torch.zeros(2, 4, 8, 8, dtype=torch.bfloat16), torch.arange(2), stream=0)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, noise_like(torch.zeros(2, 4, 8, 8), torch.arange(2), stream=0).bfloat16())


def test_uniform_numbers_and_timesteps() -> None:
    seeds = torch.arange(4000)
    numbers, timesteps = uniform(seeds, stream=0), uniform_timesteps(seeds, 1000, "cpu", stream=1)
    assert 0 <= numbers.min() and numbers.max() < 1 and abs(numbers.mean() - 0.5) < 0.02
    assert timesteps.dtype == torch.int64
    assert 0 <= timesteps.min() < 10 and 990 <= timesteps.max() < 1000
    assert abs(torch.corrcoef(torch.stack([numbers, timesteps.float()]))[0, 1]) < 0.05
    assert torch.equal(uniform(seeds[7:9], stream=0), numbers[7:9])


def test_generators_must_match_the_batch() -> None:
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        normal((3, 1), generators([1, 2]))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_keep_the_noise_schedule_of_the_backbone(name: str) -> None:
    scheduler = make_scheduler(name, tiny_scheduler("v_prediction").config)
    kept = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps")
    assert {key: scheduler.config[key] for key in kept} == {key: CONFIG[key] for key in kept}
    assert scheduler.config.prediction_type == "v_prediction"
    assert not scheduler.config.get("clip_sample", False)


NOISE = {
    "zero terminal SNR": {"rescale_betas_zero_snr": True},
    "betas": {"trained_betas": torch.linspace(1e-4, 2e-2, 100).tolist(), "num_train_timesteps": 100},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 2e-2, "num_train_timesteps": 500},
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_follows_the_noise_schedule_or_is_refused(name: str, noise: str) -> None:
    config = DDIMScheduler.from_config(tiny_scheduler().config, **NOISE[noise]).config
    expected = DDIMScheduler.from_config(config).alphas_cumprod
    try:
        found = make_scheduler(name, config).alphas_cumprod
    except UserError as error:
        assert name in str(error) and "these can: ddim" in str(error)
    else:
        assert_close(found, expected, rtol=0, atol=1e-6)


def test_pndm_is_not_for_zero_terminal_snr() -> None:
    with pytest.raises(UserError, match=r"scheduler: pndm cannot follow .*\(rescale_betas_zero_snr True\)"):
        make_scheduler("pndm", DDIMScheduler.from_config(CONFIG, rescale_betas_zero_snr=True).config)


def test_an_unknown_scheduler_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="'ddmi'.*pndm, ddim, dpm-solver"):
        make_scheduler("ddmi", CONFIG)


def perfect(truth: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Predict the noise in what is made of the truth."""
    # Schedulers in sigmas scale their input to unit variance, so one formula fits all: x = a truth + b noise.
    signal = tiny_scheduler().alphas_cumprod

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        below = int(timestep)
        share = float(timestep) - below
        kept = torch.lerp(signal[below], signal[min(below + 1, 999)], share)
        return (latents - kept.sqrt() * truth) / (1 - kept).sqrt()

    return predict


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_an_image_is_changed_by_the_last_part_of_the_schedule(name: str, strength: float) -> None:
    truth, other, noise = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    image = truth + 0.1 * other
    given: dict[float, list[tuple[Tensor, Tensor]]] = {}

    def run(strength: float) -> Tensor:
        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            given.setdefault(strength, []).append((latents, timestep))
            return perfect(truth)(latents, timestep)

        source = generators([1, 2], stream=1)
        return denoise(
            predict, make_scheduler(name, CONFIG), noise, steps=20, generators=source, image=image, strength=strength
        )

    run(1.0)
    assert_close(run(strength), truth, atol=0.12, rtol=0)
    every, some = ([float(timestep) for _, timestep in given[part]] for part in (1.0, strength))
    calls = round(20 * strength)
    # The same steps, of which none is left out; PNDM takes the second one twice.
    assert list(dict.fromkeys(some)) == list(dict.fromkeys(every))[-calls:]
    assert len(some) == calls + (name == "pndm" and calls > 1)
    first, timestep = given[strength][0]
    kept = tiny_scheduler().alphas_cumprod[round(float(timestep))]
    assert_close(first, kept.sqrt() * image + (1 - kept).sqrt() * noise, atol=0.02, rtol=0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_perfect_denoiser_ends_at_the_truth(name: str) -> None:
    truth = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    scheduler, predict = make_scheduler(name, CONFIG), perfect(truth)
    seen: list[tuple[int, int]] = []
    result = denoise(
        predict,
        scheduler,
        noise_like(truth, torch.tensor([1, 2]), stream=0),
        steps=20,
        generators=generators([1, 2], stream=1),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert_close(result, truth, atol=0.12, rtol=0)
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
    assert len(seen) == (21 if name == "pndm" else 20)


def test_guidance_in_one_batch_equals_separate_calls() -> None:
    latents, timestep = torch.randn(2, 4, 8, 8), torch.tensor(3)
    context, negative = (TextCondition(tokens) for tokens in torch.randn(2, 2, 5, 6))
    rows: list[int] = []

    def predict(latents: Tensor, timestep: Tensor, context: TextCondition) -> Tensor:
        rows.append(len(latents))
        return latents * context.tokens.mean(dim=(1, 2))[:, None, None, None] + timestep

    text, empty = predict(latents, timestep, context), predict(latents, timestep, negative)
    rows.clear()
    assert_close(guided(predict, context, negative, 2.5)(latents, timestep), empty + 2.5 * (text - empty))
    for scale in (1.0, 0.0):
        assert_close(guided(predict, context, negative, scale)(latents, timestep), text)
    assert rows == [4, 2, 2]


def test_after_step_sees_the_next_timestep_and_may_replace_the_latents() -> None:
    scheduler = make_scheduler("ddim", CONFIG)
    seen: list[int | None] = []

    def after_step(latents: Tensor, next_timestep: Tensor | None) -> Tensor:
        seen.append(None if next_timestep is None else int(next_timestep))
        return torch.full_like(latents, 7.0)

    result = denoise(lambda latents, t: latents, scheduler, torch.zeros(1, 4, 8, 8), steps=3, after_step=after_step)
    assert seen == [*scheduler.timesteps.tolist()[1:], None]
    assert bool((result == 7).all())


def test_steps_that_cannot_be_taken_are_named() -> None:
    noise = torch.zeros(1, 4, 8, 8)
    for name, steps in (("ddim", 0), ("ddim", 5000), ("lcm", 60)):
        with pytest.raises(UserError, match=f"steps.*{steps}"):
            denoise(lambda latents, t: latents, make_scheduler(name, CONFIG), noise, steps=steps)


def test_guidance_in_a_part_of_the_schedule():
    text, empty = (TextCondition(torch.full((1, 2, 4), value)) for value in (1.0, 0.0))
    rows = []

    def predict(latents, timestep, context):
        rows.append(len(latents))
        return latents + context.tokens.mean()

    between = SamplerConfig(guided_from=0.2, guided_until=0.7).guided_between(1000)
    assert between == pytest.approx((300, 800))
    at = guided(predict, text, empty, 3.0, between)
    for timestep in (999, 801, 800, 500, 300, 299, 1):
        at(torch.zeros(1, 4, 8, 8), torch.tensor(timestep))
    assert rows == [1, 1, 2, 2, 2, 1, 1]


@pytest.mark.parametrize("interval", [(0.5, 0.4), (-0.1, 1.0), (0.0, 1.1)])
def test_a_guided_part_that_is_none(interval: tuple[float, float]):
    with pytest.raises(UserError, match=r"guided_from and guided_until must lie in \[0, 1\], in this order"):
        SamplerConfig(guided_from=interval[0], guided_until=interval[1])
