"""A person's word in place of the prior: corrected masks go to the RP-Encoder, and the other task's answer follows.

The second decoding is prompted by what the first one said (paper, section 2.2). Where somebody knows better, their mask
takes the place of the first decoding's logits. The image need not be encoded again for that: the encodings of the last
tiles are kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.networks.coseg import CoSeg, Prompts, TaskEmbeddings, TaskLogits, disagreement, overruled
from coseg_bundle.networks.image_encoder import ImageEmbeddings

TILES = 40
"""Tiles whose encodings are kept: a region of 2048 x 2048 px in tiles of 512 that overlap by a quarter has 25."""

ValueT = TypeVar("ValueT")


class LRUCache(Generic[ValueT]):
    """The values that were asked for last.

    Args:
        capacity: Values to keep; the one not used for longest goes first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._values: OrderedDict[Hashable, ValueT] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], ValueT]) -> ValueT:
        """The value of a key, made if it is not there."""
        value = self._values.pop(key) if key in self._values else make()
        self._values[key] = value
        while len(self._values) > self.capacity:
            self._values.popitem(last=False)
        return value


class EncodedTile(NamedTuple):
    """What is known about a tile before anybody corrects it.

    Attributes:
        embeddings: The encoded image.
        prior: Logits of the first decoding, of tissue and nuclei mask, at the tile's resolution.
        final: Logits of the second decoding, at the decoder's resolution.
    """

    embeddings: TaskEmbeddings
    prior: TaskLogits
    final: TaskLogits


class CorrectableNetwork(nn.Module):
    """CoSeg with a memory of the last tiles and an ear for corrections.

    It takes the place of the network in an inferer. The sliding window cuts image and corrections alike.

    Args:
        network: In evaluation mode, with an RP-Encoder.
        tiles: Tiles to remember.

    Raises:
        ValueError: The network has no second decoding to prompt.
    """

    def __init__(self, network: CoSeg, tiles: int = TILES) -> None:
        super().__init__()
        if network.rp_encoder is None:
            raise ValueError("Expected a network with prompts, got one without RP-Encoder; set prompting to crossed.")
        self.network = network
        self.memory: LRUCache[EncodedTile] = LRUCache(tiles)
        own = network.prompting == "own"
        self.prompted_by = {"tissue": "tissue" if own else "nuclei", "nuclei": "nuclei" if own else "tissue"}

    def forward(self, x: Tensor) -> Tensor:
        """Segments tiles.

        Args:
            x: RGB `(B, 3, H, W)` in [0, 1], or `(B, 5, H, W)`: the image, a tissue map and a nuclei mask (0 or 1), both
                255 wherever the network's own prior counts; see `with_correction`.

        Returns:
            `pred` `(B, layout.channels, H, W)`. Tissue is what the person said it is, where they said it.
        """
        image, correction = x[:, :3], x[:, 3:]
        size = (x.shape[-2], x.shape[-1])
        tiles = [
            self.memory.get(key, lambda row=row: self._encode(image[row : row + 1]))  # type: ignore[misc]
            for row, key in enumerate(_digests(image))
        ]
        prior = TaskLogits(*(torch.cat(parts) for parts in zip(*(tile.prior for tile in tiles), strict=True)))
        told = {task: _told(correction, task) for task in _TASKS}
        final = TaskLogits(*(_enlarged(x, size) for x in self._decode_again(tiles, prior, correction, told)))
        if told["tissue"]:
            final = final._replace(tissue=overruled(final.tissue, correction[:, :1]))
        parts = [*final]
        if self.network.layout.disagreement:
            parts.append(disagreement(prior, final))
        return torch.cat(parts, dim=1)

    def _encode(self, image: Tensor) -> EncodedTile:
        network, size = self.network, (image.shape[-2], image.shape[-1])
        embeddings = network.encode(image)
        first = self._decode(embeddings, Prompts(None, None))
        prior = TaskLogits(_enlarged(first.tissue, size), _enlarged(first.nuclei[:, :1], size))
        return EncodedTile(embeddings, prior, self._decode(embeddings, network.prompt(prior, embeddings)))

    def _decode(self, embeddings: TaskEmbeddings, prompts: Prompts) -> TaskLogits:
        decoder = self.network.mp_decoder
        positions = decoder.image_positions(embeddings.tissue)
        return TaskLogits(
            tissue=decoder.tissue(embeddings.tissue, prompts.tissue, positions),
            nuclei=decoder.nuclei(embeddings.nuclei, prompts.nuclei, positions),
        )

    def _decode_again(
        self, tiles: Sequence[EncodedTile], prior: TaskLogits, correction: Tensor, told: Mapping[str, list[int]]
    ) -> TaskLogits:
        """Decodes each task of the tiles where its prompt was corrected; the other answers stand."""
        rp_encoder, decoder = self.network.rp_encoder, self.network.mp_decoder
        answers = []
        for task, source in self.prompted_by.items():
            answer = torch.cat([getattr(tile.final, task) for tile in tiles])
            if rows := told[source]:
                embeddings = _together([getattr(tiles[row].embeddings, task) for row in rows])
                known = correction[rows, _TASKS.index(source), None]
                corrected = overruled(getattr(prior, source)[rows], known)
                prompt = getattr(rp_encoder, f"from_{source}")(corrected, embeddings.embeddings)
                answer[rows] = getattr(decoder, task)(embeddings, prompt, decoder.image_positions(embeddings))
            answers.append(answer)
        return TaskLogits(*answers)


_TASKS = ("tissue", "nuclei")
"""Channels of a correction."""


def _told(correction: Tensor, task: str) -> list[int]:
    """Tiles of which somebody says something about a task."""
    if not correction.numel():
        return []
    said = (correction[:, _TASKS.index(task)] != UNLABELLED).flatten(1).any(1)
    return [row for row, any_pixel in enumerate(said.tolist()) if any_pixel]


def _together(embeddings: Sequence[ImageEmbeddings]) -> ImageEmbeddings:
    """Embeddings of several tiles as a batch."""
    coarse, fine = zip(*embeddings, strict=True)
    return ImageEmbeddings(torch.cat(coarse), tuple(torch.cat(level) for level in zip(*fine, strict=True)))


def with_correction(
    image: Tensor, tissue: NDArray[np.integer] | None = None, nuclei: NDArray[np.integer] | None = None
) -> Tensor:
    """Puts an image and what a person says about it together, for `CorrectableNetwork`.

    Args:
        image: RGB `(1, 3, H, W)`.
        tissue: Tissue class ids `(H, W)`; 255 where the network's prior counts.
        nuclei: Nuclei mask `(H, W)`, 0 or 1; 255 where the network's prior counts.

    Returns:
        `(1, 5, H, W)`, or the image itself when nothing is given.

    Raises:
        ValueError: A map has another size than the image.
    """
    if tissue is None and nuclei is None:
        return image
    channels = [image]
    for name, given in (("tissue", tissue), ("nuclei", nuclei)):
        if given is not None and given.shape != image.shape[-2:]:
            raise ValueError(f"Expected a {name} correction of {tuple(image.shape[-2:])}, got shape {given.shape}.")
        values = np.full(image.shape[-2:], UNLABELLED, np.uint8) if given is None else given
        channels.append(torch.from_numpy(np.ascontiguousarray(values)).to(image)[None, None])
    return torch.cat(channels, dim=1)


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits.float(), size, mode="bilinear")


def _digests(images: Tensor) -> list[bytes]:
    """Tiles are known by their pixels."""
    pixels = (images * 255).round().to(torch.uint8).cpu().contiguous().numpy()
    key = str(pixels.shape[1:]).encode()
    return [hashlib.blake2b(tile, digest_size=16, key=key).digest() for tile in pixels]
