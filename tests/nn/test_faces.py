"""Layers that see six faces: nothing changes with one face, and the cube may be turned or its panoramas exchanged."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aognet.geometry.cubemap import face_cameras
from aognet.nn.faces import FacesAttention, FacesConv2d, FacesGroupNorm, see_all_faces
from tests.smooth import smooth_view
from tests.tiny import TEXT_DIM, tiny_unet, tiny_vae

QUARTER_TURNS = [
    torch.stack([signs[axis] * torch.eye(3)[order[axis]] for axis in range(3)])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
QUARTER_TURNS = [turn.double() for turn in QUARTER_TURNS if torch.linalg.det(turn) > 0]


def turned(faces: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """The cube after a turn: what each pixel's direction shows, pixel by pixel."""
    cameras = face_cameras(faces.shape[-1])
    result = torch.zeros_like(faces)
    for target, camera in enumerate(cameras):
        before = camera.pixel_directions() @ turn  # the inverse of a rotation is its transpose
        source = int((before.mean((0, 1)) @ torch.stack([other.forward for other in cameras]).T).argmax())
        places, inside = cameras[source].image_positions(before)
        assert inside.all() and (places - places.round()).abs().max() < 1e-9
        columns, rows = places.round().long().unbind(-1)
        result[:, target] = faces[:, source, :, rows, columns]
    return result


def synchronised(convolution: nn.Conv2d, fov_degrees: float = 90.0) -> nn.Conv2d:
    see_all_faces(nn.Sequential(convolution), attention=False, norms=False, padding=True, fov_degrees=fov_degrees)
    assert isinstance(convolution, FacesConv2d)
    return convolution


def constant(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.3, dtype=torch.float64)


def unet_output(unet: nn.Module, rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(rows, 4, 16, 16, generator=generator)
    text = torch.randn(rows, 5, TEXT_DIM, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.tensor(400), encoder_hidden_states=text).sample


@pytest.mark.parametrize("layout", ["sd15", "sd2"])
def test_with_one_face_the_unet_is_the_plain_unet_bit_for_bit(layout):
    unet = tiny_unet(layout, channels=4)
    plain = unet_output(unet, 3)
    keys = unet.state_dict().keys()
    see_all_faces(unet, faces=1, texts="all")
    assert torch.equal(unet_output(unet, 3), plain)
    assert unet.state_dict().keys() == keys


def test_with_one_face_the_autoencoder_is_the_plain_one_bit_for_bit():
    vae, images = tiny_vae(), torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        plain = vae(images).sample
        see_all_faces(vae, faces=1)
        assert torch.equal(vae(images).sample, plain)


@pytest.mark.parametrize("padding", [False, True])
def test_exchanging_panoramas_exchanges_their_results(padding: bool):
    unet = tiny_unet(channels=4)
    see_all_faces(unet, texts="all", padding=padding)
    latents, text = torch.randn(3, 6, 4, 16, 16), torch.randn(3, 6, 5, TEXT_DIM)

    def run(order: list[int]) -> torch.Tensor:
        with torch.no_grad():
            rows = (values[order].flatten(0, 1) for values in (latents, text))
            latents_now, text_now = rows
            return unet(latents_now, torch.tensor(400), encoder_hidden_states=text_now).sample.unflatten(0, (-1, 6))

    assert_close(run([2, 0, 1]), run([0, 1, 2])[[2, 0, 1]], atol=1e-5, rtol=1e-5)


def test_faces_of_one_panorama_see_each_other_and_none_of_another():
    unet = tiny_unet(channels=4)
    see_all_faces(unet)
    latents, text = torch.randn(12, 4, 16, 16), torch.randn(12, 5, TEXT_DIM)
    changed = latents.clone()
    changed[3] += 1
    with torch.no_grad():
        one, other = (unet(x, torch.tensor(400), encoder_hidden_states=text).sample for x in (latents, changed))
    difference = (one - other).abs().amax((1, 2, 3))
    assert (difference[:6] > 1e-4).all()
    assert (difference[6:] < 1e-6).all()


def test_attention_over_faces_is_attention_over_all_their_tokens():
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0

    tokens, text = torch.randn(12, 9, 32), torch.randn(12, 4, TEXT_DIM)
    own = Attention(32, heads=2, dim_head=16).eval()
    cross = Attention(32, cross_attention_dim=TEXT_DIM, heads=2, dim_head=16).eval()
    plain, over_faces, all_texts = AttnProcessor2_0(), FacesAttention(), FacesAttention(texts="all")
    with torch.no_grad():
        long = plain(own, tokens.view(2, 54, 32)).view(12, 9, 32)
        assert_close(over_faces(own, tokens), long)
        assert_close(over_faces(cross, tokens, text), plain(cross, tokens, text))
        every = text.view(2, 24, TEXT_DIM).repeat_interleave(6, 0)
        assert_close(all_texts(cross, tokens, text), plain(cross, tokens, every), atol=1e-5, rtol=1e-4)
        same = text[:1].expand(12, -1, -1)
        assert_close(all_texts(cross, tokens, same), over_faces(cross, tokens, same), atol=1e-5, rtol=1e-4)


def test_one_brightness_and_contrast_for_all_faces():
    norm, images = nn.GroupNorm(4, 8), torch.randn(12, 8, 5, 5) * torch.rand(12, 1, 1, 1)
    tall = norm(images.view(2, 6, 8, 25).transpose(1, 2).reshape(2, 8, 150)).view(2, 8, 6, 25).transpose(1, 2)
    see_all_faces(nn.Sequential(norm), attention=False)
    assert isinstance(norm, FacesGroupNorm)
    assert_close(norm(images), tall.reshape(12, 8, 5, 5))


@pytest.mark.parametrize("turn", QUARTER_TURNS, ids=range(24))
def test_a_convolution_commutes_with_quarter_turns_of_the_cube(turn: torch.Tensor):
    # In general a kernel has an up and a right of its own, which turn with a face: here they are alike.
    convolution, ring = nn.Conv2d(2, 3, 3, padding=1), torch.tensor([[1, 2, 1], [2, 5, 2], [1, 2, 1.0]])
    with torch.no_grad():
        convolution.weight.copy_(torch.randn(3, 2, 1, 1) * ring)
    faces, convolution = torch.randn(2, 6, 2, 12, 12), synchronised(convolution)

    def run(cube: torch.Tensor) -> torch.Tensor:
        return convolution(cube.flatten(0, 1)).unflatten(0, (-1, 6))

    assert_close(run(turned(faces, turn)), turned(run(faces), turn), atol=1e-4, rtol=1e-5)


def test_any_convolution_commutes_with_turning_about_the_vertical_on_the_lateral_faces():
    convolution, faces = synchronised(nn.Conv2d(2, 3, 5, padding=2)), torch.randn(1, 6, 2, 12, 12)
    about = next(
        turn for turn in QUARTER_TURNS if torch.equal(turn, torch.tensor([[0, 0, 1], [0, 1, 0], [-1, 0, 0.0]]).double())
    )
    results = [convolution(cube[0]) for cube in (faces, turned(faces, about))]
    assert_close(results[1][:4], results[0][:4].roll(1, 0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fov_degrees", [90.0, 95.0])
def test_smoothed_faces_of_a_smooth_function_agree_with_the_function_at_edges(fov_degrees: float):
    size, box = 48, nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
    with torch.no_grad():
        box.weight.fill_(1 / 9)
    faces = torch.cat([smooth_view(camera) for camera in face_cameras(size, fov_degrees)])
    with torch.no_grad():
        zeros, neighbours = box(faces), synchronised(box, fov_degrees)(faces)
    edge = torch.ones(size, size, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert (neighbours - faces).abs()[..., edge].max() < 0.02
    assert (zeros - faces).abs()[..., edge].max() > 0.3


def test_the_whole_network_pads_from_neighbours_even_where_diffusers_pads_by_itself():
    # In double precision: the norms of a constant enlarge what rounding leaves of its differences.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # how much they enlarge it depends on the weights
        vae = tiny_vae(blocks=4).double()
    see_all_faces(vae, attention=False, padding=True)
    with torch.no_grad():
        for part in (vae.encoder(constant(6, 3, 32, 32)), vae.decoder(constant(6, 4, 4, 4))):
            assert_close(part, part[:1, :, :1, :1].expand_as(part), atol=1e-4, rtol=1e-4)
