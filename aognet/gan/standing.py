"""Standing statistics of a generator's norms (Brock et al. 2019, section 3.1): measured over many images, for each
truncation of z.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.sampling.noise import named_seed
from aognet.gan.biggan import BigGan, ConditionalNorm
from aognet.gan.truncation import truncated_z

Classes = Callable[[list[int]], Float[Tensor, "batch classes"]]
"""The weights of the classes of each image, drawn from its seed."""


@torch.no_grad()
def measure_statistics(generator: BigGan, classes: Classes, batches: int, batch_size: int = 64, seed: int = 0) -> None:
    """Replace the statistics of all norms by the means over batches of generated images, for each truncation.

    ``generator`` has its spectral norms folded. The same seeds give the same statistics; a truncation has the z of the
    others, only smaller.
    """
    norms = [module for module in generator.modules() if isinstance(module, ConditionalNorm)]
    device, count = generator.start.weight.device, generator.config.statistics
    momenta, was_training = [norm.momentum for norm in norms], generator.training
    found: list[list[tuple[Tensor, Tensor]]] = []
    generator.train()
    for number in range(count):
        truncation = number / (count - 1) if count > 1 else 1.0
        for batch in range(batches):
            for norm in norms:
                norm.momentum = 1 / (batch + 1)  # so that the batches count alike
            seeds = [named_seed(seed, "statistics", row) for row in range(batch * batch_size, (batch + 1) * batch_size)]
            z = truncated_z(seeds, generator.config.z_dim, truncation)
            generator(z.to(device), classes(seeds).to(device), truncation)
        found.append([(norm.means[number].clone(), norm.variances[number].clone()) for norm in norms])
    for place, norm in enumerate(norms):
        norm.means.copy_(torch.stack([row[place][0] for row in found]))
        norm.variances.copy_(torch.stack([row[place][1] for row in found]))
        norm.momentum = momenta[place]
    generator.train(was_training)
