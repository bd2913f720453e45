"""Parameter-efficient fine-tuning of the frozen trunk: LoRA in the attentions, adapters beside the FFNs.

LoRA: Hu et al., ICLR 2022. Adapter: Houlsby et al., ICML 2019; parallel to the FFN as in AdaptFormer (Chen et al.,
NeurIPS 2022). Both start as the identity: at step 0 the encoder computes exactly what SAM 2 computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

LORA_TARGETS = r"(.*\.)?blocks\.\d+\.attn\.qkv"
"""The fused query-key-value projection of every attention of the trunk (a regular expression over module names)."""


class AdaptedMLP(nn.Module):
    """An FFN with a bottleneck adapter beside it: `mlp(x) + scale * up(gelu(down(x)))`.

    Args:
        mlp: The frozen FFN.
        dim: Channels of its input and output.
        ratio: Width of the bottleneck as a share of `dim`.
        scale: Weight of the adapter's branch.
    """

    def __init__(self, mlp: nn.Module, dim: int, ratio: float, scale: float) -> None:
        super().__init__()
        self.mlp = mlp
        self.down = nn.Linear(dim, max(1, int(dim * ratio)))
        self.act = nn.GELU()
        self.up = nn.Linear(self.down.out_features, dim)
        self.scale = scale
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Applies FFN and adapter to `(..., dim)`."""
        return self.mlp(x) + self.scale * self.up(self.act(self.down(x)))


def add_adapters(trunk: nn.Module, ratio: float = 0.25, scale: float = 0.5) -> None:
    """Puts a trainable adapter beside the FFN of every block of a Hiera trunk, in place."""
    for block in trunk.blocks:  # type: ignore[union-attr]
        block.mlp = AdaptedMLP(block.mlp, block.dim_out, ratio, scale)


def add_lora(trunk: nn.Module, rank: int) -> None:
    """Puts LoRA of the given rank on the fused qkv of every attention, in place; alpha equals the rank, so that the
    scale of the update is 1 and merging is `W + B @ A` (see `merge_lora`)."""
    import peft  # 5 s and more: only where LoRA is wanted

    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=LORA_TARGETS)
    peft.inject_adapter_in_model(config, trunk)


def merge_lora(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merges LoRA away: `W + B @ A` under the plain names, computed in single precision; needs no peft.

    Args:
        state_dict: State of a network with or without LoRA.

    Returns:
        The state of the same network built with `lora_rank=0`; what is no part of LoRA is passed on unchanged.
    """
    merged = {}
    for name, value in state_dict.items():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            stem = name.removesuffix(".base_layer.weight")
            down, up = state_dict[f"{stem}.lora_A.default.weight"], state_dict[f"{stem}.lora_B.default.weight"]
            value = (value.float() + up.float() @ down.float()).to(value.dtype)
        merged[name.replace(".base_layer.", ".")] = value
    return merged


def has_lora(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state comes from a network with LoRA that is not merged."""
    return any(".lora_A." in name for name in state_dict)


def trainable_parameters(module: nn.Module) -> int:
    """Number of parameters that training changes."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def freeze(module: nn.Module) -> None:
    """Stops the gradients of every parameter that the module has now."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def train_only(network: nn.Module, parts: Sequence[str]) -> None:
    """Stops the gradients of all parameters but those of some parts.

    Args:
        network: The network.
        parts: Names of its modules, such as `mp_decoder.tissue`; what is frozen in them stays frozen.

    Raises:
        ValueError: There is no such part, or nothing in the parts learns.
    """
    modules = dict(network.named_modules())
    if unknown := sorted(set(parts) - modules.keys()):
        raise ValueError(
            f"The network has no part {unknown[0]!r}; expected names of modules, such as "
            f"{', '.join(name for name, _ in network.named_children())} or parts of them."
        )
    learning = {id(p) for part in parts for p in modules[part].parameters() if p.requires_grad}
    if not learning:
        raise ValueError(f"Nothing in {', '.join(parts)} learns: all of it is frozen.")
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in learning)
