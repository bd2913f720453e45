"""A person's word in place of the prior: corrected masks go to the RP-Encoder, and the other task's answer follows.

The second decoding is prompted by what the first one said (paper, section 2.2). Where somebody knows better, their mask
takes the place of the first decoding's logits. The image need not be encoded again for that: the encodings of the last
tiles are kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.networks.coseg import CoSeg, Prompts, TaskEmbeddings, TaskLogits, enlarged, overruled
from coseg_bundle.networks.image_encoder import ImageEmbeddings

BATCHES = 40
"""Batches of tiles whose encodings are kept; on a CPU a batch is one tile. A region of 2048 x 2048 px has nine windows
and one from afar, and so has each of four mirrored copies. A window of 1,024 px takes 49 MB."""

ValueT = TypeVar("ValueT")


class Refiner:
    """A predictor that listens: what a person says of an image goes to the other task, and stands.

    Args:
        predictor: With a network that has an RP-Encoder.
        batches: Batches of tiles to remember.

    Raises:
        ValueError: The network has no second decoding to prompt.
    """

    def __init__(self, predictor: Predictor, batches: int = BATCHES) -> None:
        self.predictor = predictor
        self.network = CorrectableNetwork(predictor.network, batches)

    def infer(
        self,
        rgb: NDArray[np.uint8],
        tissue: NDArray[np.integer] | None = None,
        nuclei: NDArray[np.integer] | None = None,
    ) -> NDArray[np.float32]:
        """The network's output `(C, H, W)` for an image `(H, W, 3)` at its resolution.

        Args:
            rgb: uint8.
            tissue: Tissue class ids `(H, W)`; 255 where nothing is said.
            nuclei: Nuclei mask `(H, W)`, 0 or 1; 255 where nothing is said.

        Returns:
            `pred`; its tissue is what was said, where it was said, to the pixel. Nuclei remain the network's, since a
            mask does not say which pixels belong to one nucleus.

        Raises:
            ValueError: A map has another size than the image, or values that say nothing.
        """
        predictor = self.predictor
        layout = predictor.postprocessing.layout
        x = with_correction(predictor.to_tensor(rgb), tissue, nuclei, tissue_classes=layout.tissue_classes)
        with torch.inference_mode():
            pred = predictor.inferer(x, self.network)
            if tissue is not None:
                logits = layout.split(pred)["tissue_logits"]
                logits.copy_(overruled(logits, x[:, 3:4]))
        return np.asarray(pred[0].float().cpu())


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


class EncodedTiles(NamedTuple):
    """What is known about a batch of tiles before anybody corrects them.

    Attributes:
        embeddings: The encoded images.
        first: Logits of the first decoding, of tissue and nuclei mask, at the decoder's resolution.
        final: Logits of the second decoding, likewise.
    """

    embeddings: TaskEmbeddings
    first: TaskLogits
    final: TaskLogits


class CorrectableNetwork(nn.Module):
    """CoSeg with a memory of the last batches of tiles and an ear for corrections.

    It takes the place of the network in an inferer. The sliding window cuts image and corrections alike.

    Args:
        network: In evaluation mode, with an RP-Encoder.
        batches: Batches to remember.

    Raises:
        ValueError: The network has no second decoding to prompt.
    """

    def __init__(self, network: nn.Module, batches: int = BATCHES) -> None:
        super().__init__()
        if not isinstance(network, CoSeg) or network.rp_encoder is None:
            raise ValueError("Expected a network with prompts, got one without RP-Encoder; set prompting to crossed.")
        self.network, self.two_scales = network, bool(network.two_scales)
        self.memory: LRUCache[EncodedTiles] = LRUCache(batches)
        own = network.prompting == "own"
        self.prompted_by = {"tissue": "tissue" if own else "nuclei", "nuclei": "nuclei" if own else "tissue"}

    def forward(self, x: Tensor) -> Tensor:
        """Segments tiles.

        Args:
            x: RGB `(B, 3, H, W)` in [0, 1], or `(B, 5, H, W)`: the image, a tissue map and a nuclei mask (0 or 1), both
                255 wherever the network's own prior counts; see `with_correction`.

        Returns:
            `pred` `(B, layout.channels, H, W)`, each task prompted by what was said of the other. What was said itself
            is not in it: `Refiner` puts it over the whole image.
        """
        images, said = x[:, :3], _said(x[:, 3:])
        tiles = self.memory.get(_digest(images), lambda: self._encode(images))
        return self.network.answer(tiles.first, self._decode_again(tiles, said), (x.shape[-2], x.shape[-1]))

    def _encode(self, images: Tensor) -> EncodedTiles:
        network = self.network
        embeddings = network.encode(images)
        first = network.decode(embeddings, Prompts(None, None), nuclei_channels=1)
        size = images.shape[-2], images.shape[-1]
        prior = TaskLogits(*(enlarged(logits, size) for logits in first))
        return EncodedTiles(embeddings, first, network.decode(embeddings, network.prompt(prior, embeddings)))

    def _decode_again(self, tiles: EncodedTiles, said: Mapping[str, Tensor]) -> TaskLogits:
        """Decodes each task of the tiles where its prompt was corrected; the other answers stand."""
        rp_encoder, decoder = self.network.rp_encoder, self.network.mp_decoder
        answers = tiles.final._asdict()
        for task, source in self.prompted_by.items():
            if source not in said:
                continue
            known = said[source]
            rows = (known != UNLABELLED).flatten(1).any(1)
            embeddings = _rows(getattr(tiles.embeddings, task), rows)
            prior = enlarged(getattr(tiles.first, source)[rows], (known.shape[-2], known.shape[-1]))
            prompt = getattr(rp_encoder, f"from_{source}")(overruled(prior, known[rows]), embeddings.embeddings)
            answer = getattr(decoder, task)(embeddings, prompt, decoder.positions).float()
            answers[task] = answers[task].index_put((rows,), answer)
        return TaskLogits(**answers)


_TASKS = ("tissue", "nuclei")
"""Channels of a correction."""


def _said(correction: Tensor) -> dict[str, Tensor]:
    """What somebody says `(B, 1, H, W)`, by task; tasks of which nothing is said are absent."""
    given = dict(zip(_TASKS, correction.split(1, dim=1), strict=True)) if correction.numel() else {}
    return {task: known for task, known in given.items() if (known != UNLABELLED).any()}


def _rows(embeddings: ImageEmbeddings, rows: Tensor) -> ImageEmbeddings:
    """Embeddings of some tiles of a batch, `rows` `(B,)` bool; the same object when all are meant."""
    if rows.all():
        return embeddings
    coarse, fine = embeddings
    return ImageEmbeddings(coarse[rows], tuple(level[rows] for level in fine))


def with_correction(
    image: Tensor,
    tissue: NDArray[np.integer] | None = None,
    nuclei: NDArray[np.integer] | None = None,
    *,
    tissue_classes: int = UNLABELLED,
) -> Tensor:
    """Puts an image and what a person says about it together, for `CorrectableNetwork`.

    Args:
        image: RGB `(1, 3, H, W)`.
        tissue: Tissue class ids `(H, W)`; 255 where the network's prior counts.
        nuclei: Nuclei mask `(H, W)`, 0 or 1; 255 where the network's prior counts.
        tissue_classes: How many there are.

    Returns:
        `(1, 5, H, W)`, or the image itself when nothing is given.

    Raises:
        ValueError: A map has another size than the image, or values that say nothing: other classes, ids of instances.
    """
    if tissue is None and nuclei is None:
        return image
    channels = [image]
    for name, given, classes in (("tissue", tissue, tissue_classes), ("nuclei", nuclei, 2)):
        values = np.full(image.shape[-2:], UNLABELLED, np.uint8) if given is None else given
        if values.shape != image.shape[-2:]:
            raise ValueError(f"Expected a {name} correction of {tuple(image.shape[-2:])}, got shape {values.shape}.")
        if not (known := np.isin(values, [*range(classes), UNLABELLED])).all():
            raise ValueError(
                f"Expected a {name} correction of values from 0 to {classes - 1}, and {UNLABELLED} where nothing is "
                f"said, got {values[~known][0]}."
            )
        channels.append(torch.from_numpy(np.require(values, requirements=("C", "W"))).to(image)[None, None])
    return torch.cat(channels, dim=1)


def _digest(images: Tensor) -> bytes:
    """Tiles are known by their pixels, which are no whole numbers where a tile was halved."""
    pixels = images.cpu().contiguous().numpy()
    return hashlib.blake2b(pixels.tobytes(), digest_size=16, key=str(pixels.shape).encode()).digest()
