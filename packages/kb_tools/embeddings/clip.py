"""Pictures and texts in one space, by a CLIP or SigLIP model in a folder on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kb_tools.errors import KBInputError, MissingExtraError
from kb_tools.images import decode

FAMILIES = ("clip", "siglip")
"""What `model_type` in the folder's config.json may be. SigLIP 2 at a fixed size is published as `siglip`."""

_PIP_LINE = "pip install 'polyroute[embed]'"
_HASHED = (
    "*.safetensors",
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
"""All files that change an embedding."""
_VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")


class _Parts(NamedTuple):
    model: Any
    image_processor: Any
    tokenizer: Any


class CLIPEmbedder:
    """CLIP (Radford et al., 2021) or SigLIP (Zhai et al., 2023), as saved by `save_pretrained`.

    Only the folder is read: nothing is downloaded, no code in it is run, weights are safetensors. The model is loaded
    at the first embedding, in float32. Texts are cut to the model's context. Safe to share between threads.

    Raises KBInputError for a folder without such a model, MissingExtraError where torch, transformers or (for SigLIP's
    own tokenizer) sentencepiece is missing.
    """

    def __init__(self, folder: str | Path, *, device: str = "cpu", batch_size: int = 16) -> None:
        if batch_size < 1:
            raise KBInputError(f"batch_size is {batch_size}; give the number of pictures to embed at once, 1 or more.")
        for module in ("torch", "transformers"):
            if importlib.util.find_spec(module) is None:
                raise MissingExtraError(f"CLIPEmbedder needs {module}: {_PIP_LINE}.")
        self.folder = Path(folder)
        self.device = device
        self.batch_size = batch_size
        self._family = _family(self.folder)
        # One call at a time: the model is loaded once, and a tokenizer refuses two threads that set its length at once.
        self._mutex = threading.RLock()

    @cached_property
    def name(self) -> str:
        """Model type and a hash of weights, settings and vocabulary: the same folder elsewhere has the same name."""
        digest = hashlib.sha256()
        for path in sorted({found for pattern in _HASHED for found in self.folder.glob(pattern)}):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return f"kb_tools.CLIPEmbedder/1/{self._family}/{digest.hexdigest()[:16]}"

    @cached_property
    def dimension(self) -> int:
        """Length of each vector; reads the model's settings, not its weights."""
        from transformers import AutoConfig

        with self._readable():
            config: Any = AutoConfig.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        return int(config.projection_dim if self._family == "clip" else config.vision_config.hidden_size)

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Unit rows of shape (len(images), dimension). Raises UnreadableFileError for what is no picture."""
        rows = [np.empty((0, self.dimension), dtype=np.float32)]
        for start in range(0, len(images), self.batch_size):
            pictures = [decode(data) for data in images[start : start + self.batch_size]]
            with self._mutex:
                inputs = self._parts.image_processor(images=pictures, return_tensors="pt")
                rows.append(self._features(self._parts.model.get_image_features, inputs))
        return np.concatenate(rows)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit rows of shape (len(texts), dimension), to compare with those of pictures."""
        rows = [np.empty((0, self.dimension), dtype=np.float32)]
        for start in range(0, len(texts), self.batch_size):
            with self._mutex:
                inputs = self._tokens(texts[start : start + self.batch_size])
                rows.append(self._features(self._parts.model.get_text_features, inputs))
        return np.concatenate(rows)

    def _tokens(self, texts: Sequence[str]) -> Mapping[str, Any]:
        context = int(self._parts.model.config.text_config.max_position_embeddings)
        tokens = self._parts.tokenizer(
            # A lone surrogate cannot reach the tokenizer, which is UTF-8 inside.
            [text.encode("utf-8", "replace").decode() for text in texts],
            # SigLIP was trained on texts filled up to its context, without a mask, and reads its last position.
            padding="max_length" if self._family == "siglip" else True,
            truncation=True,
            max_length=context,
            return_tensors="pt",
        )
        used = ("input_ids",) if self._family == "siglip" else ("input_ids", "attention_mask")
        return {key: tokens[key] for key in used}

    def _features(self, forward: Any, inputs: Mapping[str, Any]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            output = forward(**{key: value.to(self.device) for key, value in inputs.items()})
            # transformers before 5 gave the tensor itself.
            features = output if isinstance(output, torch.Tensor) else output.pooler_output
            unit = torch.nn.functional.normalize(features.float(), dim=-1)
        return np.asarray(unit.cpu().numpy(), dtype=np.float32)

    @cached_property
    def _parts(self) -> _Parts:
        import transformers

        auto: Any = transformers  # its loaders carry no types
        local = {"local_files_only": True, "trust_remote_code": False}
        with self._readable(), _quiet():
            model, report = auto.AutoModel.from_pretrained(
                self.folder, use_safetensors=True, dtype="float32", output_loading_info=True, **local
            )
            # The processor on Pillow is the one that works with and without torchvision, and always the same.
            image_processor = auto.AutoImageProcessor.from_pretrained(self.folder, backend="pil", **local)
            tokenizer = auto.AutoTokenizer.from_pretrained(self.folder, **local)
            model = model.to(self.device).eval()
        if report["missing_keys"]:
            # transformers would go on with random numbers in their place.
            raise KBInputError(
                f"The weights in {self.folder} lack {len(report['missing_keys'])} tensors of the model, for example "
                f"{min(report['missing_keys'])}; copy the whole {self._family} model."
            )
        if len(tokenizer) > model.config.text_config.vocab_size:
            raise KBInputError(
                f"The tokenizer in {self.folder} has {len(tokenizer)} tokens, but the model has "
                f"{model.config.text_config.vocab_size}; copy the tokenizer that belongs to this {self._family} model."
            )
        return _Parts(model, image_processor, tokenizer)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            reason = " ".join(str(error).split())[:200]
            raise MissingExtraError(
                f"The {self._family} model in {self.folder} needs a package that is missing ({reason}); "
                "for SigLIP's own tokenizer: pip install sentencepiece."
            ) from error
        except Exception as error:
            # transformers, safetensors and tokenizers raise OSError, ValueError, RuntimeError and kinds of their own.
            reason = " ".join(str(error).split())[:200]
            raise KBInputError(
                f"The {self._family} model in {self.folder} does not load on {self.device!r} "
                f"({type(error).__name__}: {reason}); save model, image processor and tokenizer there again."
            ) from error


def _family(folder: Path) -> str:
    """`model_type` of the model in a folder, checked without loading anything."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        family = settings.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise KBInputError(
            f"{folder} is no model folder (config.json: {type(error).__name__}); give one with config.json, "
            "model.safetensors, preprocessor_config.json and the tokenizer's files."
        ) from error
    if family not in FAMILIES:
        raise KBInputError(f"The model in {folder} is a {family!r}; give one of {' or '.join(FAMILIES)}.")
    if not any(folder.glob("*.safetensors")):
        raise KBInputError(f"{folder} has no weights as *.safetensors; convert them with save_pretrained.")
    if not any((folder / vocabulary).is_file() for vocabulary in _VOCABULARIES):
        # transformers would go on with an empty vocabulary, to which all texts are the same.
        raise KBInputError(
            f"{folder} has no vocabulary ({', '.join(_VOCABULARIES)}); copy the model's tokenizer there."
        )
    return str(family)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar of transformers while a model loads: a library does not draw on its caller's screen."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
