"""Models from folders: loaded once, safetensors only, and each way to fail told in one sentence."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mote_backend.chat.loading import Source, engine_of, engine_on, is_loaded, load, unload
from mote_backend.errors import InputError, ModelLoadError
from support.tiny_engine import byte_tokenizer, saved, tiny_model


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Iterator[Path]:
    yield shutil.copytree(kept, tmp_path / "tiny")
    unload()


def refused(name: str | Path, **options: object) -> str:
    with pytest.raises((ModelLoadError, InputError)) as caught:
        load(Source(str(name), **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_gives_the_model_that_was_saved(folder: Path) -> None:
    model, tokenizer = load(str(folder))
    assert not model.training
    for one, other in zip(model.parameters(), tiny_model().parameters(), strict=True):
        assert torch.equal(one, other)
    assert tokenizer("hello")["input_ids"] == byte_tokenizer()("hello")["input_ids"]
    assert load(Source(str(folder), dtype="bfloat16", device="cpu"))[0].dtype == torch.bfloat16
    assert "cannot be loaded" in refused(folder, device="no-such-device")
    assert refused(folder, dtype="fp8").startswith("dtype is 'fp8'; it can be")


def test_the_models_that_come_along_have_names() -> None:
    assert load("planted")[0].config.num_experts == 32
    assert load("planted:bilingual")[0].config.num_experts == 24
    with pytest.raises(ModelLoadError, match="come along are planted, planted:bilingual"):
        load("planted:nobody")


def test_a_model_is_loaded_once_however_many_ask_at_once(folder: Path) -> None:
    source = Source(str(folder))
    engines = []
    threads = [threading.Thread(target=lambda: engines.append(engine_of(source, 8))) for _ in range(4)]
    assert not is_loaded(source)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(engine) for engine in engines}) == 1
    assert engine_of(source, 4).model is engines[0].model
    unload(str(folder))
    assert not is_loaded(source)
    assert engine_of(source, 8).model is not engines[0].model


def test_a_model_in_memory_has_one_engine_as_long_as_it_is_held() -> None:
    model, tokenizer = tiny_model(), byte_tokenizer()
    one = engine_on(model, tokenizer, 8)
    assert engine_on(model, tokenizer, 8) is one
    assert engine_on(model, byte_tokenizer(), 8) is not one


def test_folders_that_hold_no_model_are_refused(tmp_path: Path, folder: Path) -> None:
    assert "is no folder" in refused(tmp_path / "absent")
    assert "has no config.json" in refused(tmp_path)
    assert "name is empty" in refused(" ")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert "no safetensors weights" in refused(folder)


def test_weights_that_are_missing_or_broken_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    gone = weights.pop("lm_head.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lack 1 of the model's tensors, such as lm_head.weight" in refused(folder)
    save_file({**weights, "lm_head.weight": gone[:, :3].contiguous()}, folder / "model.safetensors", {"format": "pt"})
    assert "cannot be loaded" in refused(folder)
    (folder / "model.safetensors").write_bytes(b"no tensors at all")
    assert "cannot be loaded" in refused(folder)


def test_code_that_comes_with_a_model_runs_only_if_asked(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit('it ran')")
    assert "pass trust_remote_code=True" in refused(folder)


def test_what_is_no_causal_model_or_has_no_tokenizer_is_refused(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "comes without a tokenizer" in refused(folder)
    (folder / "tokenizer.json").write_text("{")
    assert "The tokenizer of" in refused(folder)
    assert "dtype is 'float99'" in refused(folder, dtype="float99")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "vit", "architectures": ["ViTModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    assert "no causal language model" in refused(folder)
