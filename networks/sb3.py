"""Any Keel backbone as a features extractor of Stable-Baselines3, for the `policy_kwargs` of its algorithms:

{"features_extractor_class": KeelExtractor, "features_extractor_kwargs": {"backbone": {"kind": "mlp", "hidden": [64]}}}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from keel.networks.backbone import BACKBONES, BackboneConfig, FusionConfig, MemoryConfig
from keel.networks.build import build_backbone
from keel.networks.observations import Encoder
from keel.networks.parts import Tensors


class KeelExtractor(BaseFeaturesExtractor):
    """Observations [B ...], preprocessed as Stable-Baselines3 does by default, to features [B F].

    The policies of Stable-Baselines3 carry no memory from step to step. A backbone that has one runs along the frames
    of a stacked observation, Box [k F] with the oldest first, from an empty memory; its last features count.

    Args: backbone: `kind` and settings as a run's config.json has them, so that JSON holds all of `policy_kwargs`.

    Raises:
        ValueError: for settings that do not exist, and where backbone and observations do not fit.
    """

    def __init__(self, observation_space: spaces.Space[Any], backbone: Mapping[str, Any]) -> None:
        config = read_backbone(backbone)
        check_space(observation_space)
        encoder = Encoder(observation_space, normalise=False, apart=isinstance(config, FusionConfig))
        if encoder.has_mask:
            raise ValueError(
                "the observations hold an 'action_mask', and the algorithms of Stable-Baselines3 know no illegal "
                "actions: train Keel's own ppo or dqn here"
            )
        along_frames = isinstance(config, MemoryConfig)
        shape = frame_shape(observation_space, config.kind) if along_frames else encoder.shape
        module: Any = build_backbone(shape, config, () if along_frames else encoder.parts)
        super().__init__(observation_space, module.features)  # before modules have a place
        self.encoder, self.backbone, self.along_frames = encoder, module, along_frames

    def forward(self, observations: Tensors) -> Tensor:
        """[B ...] -> [B features_dim]."""
        restored = restore(self._observation_space, observations)
        if self.along_frames:
            assert isinstance(restored, Tensor)
            sequence = restored.transpose(0, 1)
        else:
            sequence = self.encoder.encode(restored)[0].unsqueeze(0)
        is_first = torch.zeros(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        is_first[0] = True
        features, _ = self.backbone(sequence, (), is_first)
        return features[-1]


def read_backbone(values: Mapping[str, Any]) -> BackboneConfig:
    """The config of a backbone from its form in JSON. Raises: ValueError for a kind or a setting that is none."""
    kind, rest = values.get("kind"), {name: value for name, value in values.items() if name != "kind"}
    if kind not in BACKBONES:
        raise ValueError(f"backbone.kind is {kind!r}; there are: {', '.join(BACKBONES)}")
    names = [field.name for field in dataclasses.fields(BACKBONES[kind])]
    for name in rest:
        if name not in names:
            raise ValueError(f"backbone.{name} is not a setting of {kind}; there are: {', '.join(names)}")
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()
    }
    return BACKBONES[kind](**settings)


def check_space(space: spaces.Space[Any], name: str = "observation") -> None:
    """Raises: ValueError for spaces that Stable-Baselines3 cannot preprocess, by name."""
    match space:
        case spaces.Dict():
            for key, part in space.items():
                if isinstance(part, spaces.Dict):
                    raise ValueError(f"{name}.{key} is a Dict inside a Dict, which Stable-Baselines3 cannot store")
                check_space(part, f"{name}.{key}")
        case spaces.Discrete() if space.start != 0:
            raise ValueError(f"{name} is {space}: Stable-Baselines3 takes choices that are counted from 0")
        case spaces.MultiDiscrete() if np.any(space.start != 0) or len(space.shape) != 1:
            raise ValueError(f"{name} is {space}: Stable-Baselines3 takes choices of one axis that are counted from 0")


def frame_shape(space: spaces.Space[Any], kind: str) -> tuple[int, ...]:
    """(F,) of a stack of frames [k F]. Raises: ValueError where the observation is none."""
    if isinstance(space, spaces.Box) and len(space.shape) == 2:
        return space.shape[1:]
    raise ValueError(
        f"the {kind} backbone remembers from step to step, which the policies of Stable-Baselines3 cannot, and this "
        f"observation is no stack of frames [k F] either but {space}: stack vectors (--frame-stack 4), take --backbone "
        "mlp or cnn, or train Keel's own ppo"
    )


def restore(space: spaces.Space[Any], tensors: Tensors) -> Tensors:
    """What Keel's encoder expects, of observations as Stable-Baselines3 preprocesses them with `normalize_images`.

    Choices come one-hot and become numbers again. Images come as floats in 0…1, which suits Keel, except for bytes that
    Stable-Baselines3 does not take for an image because their bounds are not 0 and 255.
    """
    if isinstance(space, spaces.Dict):
        assert isinstance(tensors, dict)
        return {key: restore(part, tensors[key]) for key, part in space.items()}
    assert isinstance(tensors, Tensor)
    match space:
        case spaces.Discrete():
            return tensors.argmax(dim=-1)
        case spaces.MultiDiscrete():
            parts = tensors.split([int(count) for count in space.nvec], dim=-1)
            return torch.stack([part.argmax(dim=-1) for part in parts], dim=-1)
        case spaces.Box() if space.dtype == np.uint8 and len(space.shape) == 3 and not is_image_space(space):
            return tensors / 255.0
    return tensors
