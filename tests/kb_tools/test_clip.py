"""CLIP and SigLIP by transformers, on tiny models with random weights that are saved here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from charts import draw_charts

from kb_tools.embeddings.clip import CLIPEmbedder
from kb_tools.errors import KBInputError, MissingExtraError
from kb_tools.images import ImageEmbedder, decode

CONTEXT = 12
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXTS = ["a red bar chart", "a blue line chart of sales", "sales"]
DIMENSIONS = {"clip": 24, "siglip": 32}


@pytest.fixture(scope="module")
def charts() -> list[bytes]:
    return draw_charts(5, seed=1)


def save_clip(folder: Path) -> None:
    """A CLIP with random weights and its own byte-level tokenizer, as `save_pretrained` writes it."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = CLIPConfig(
        projection_dim=24,
        text_config={**TOWER, **special, "vocab_size": len(tokens), "max_position_embeddings": CONTEXT},
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
    )
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    for part in (CLIPModel(config), tokenizer, processor):
        part.save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """A SigLIP with random weights; its published tokenizer needs sentencepiece, this one splits at spaces."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokens = ["<unk>", "</s>", *"a red blue bar line chart of sales".split()]
    splitter = Tokenizer(WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    splitter.pre_tokenizer = Whitespace()
    splitter.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    config = SiglipConfig(
        text_config={**TOWER, **special, "vocab_size": len(tokens), "max_position_embeddings": CONTEXT},
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=splitter, unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    )
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    for part in (SiglipModel(config), tokenizer, processor):
        part.save_pretrained(folder)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / request.param
    {"clip": save_clip, "siglip": save_siglip}[request.param](folder)
    return folder


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / model_folder.name)


class TestCLIPEmbedder:
    def test_pictures_and_texts_are_those_of_the_model_itself_in_one_space(self, model_folder, charts):
        import torch
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        ours = CLIPEmbedder(model_folder)
        model = AutoModel.from_pretrained(model_folder).eval()
        pixels = AutoImageProcessor.from_pretrained(model_folder)([decode(c) for c in charts[:3]], return_tensors="pt")
        tokens = AutoTokenizer.from_pretrained(model_folder)(
            TEXTS, return_tensors="pt", padding="max_length", truncation=True, max_length=CONTEXT
        )
        mask = {"attention_mask": tokens["attention_mask"]} if model_folder.name == "clip" else {}
        with torch.inference_mode():
            expected = model(input_ids=tokens["input_ids"], pixel_values=pixels["pixel_values"], **mask)
        images, texts = ours.embed_images(charts[:3]), ours.embed_texts(TEXTS)
        np.testing.assert_allclose(images, expected.image_embeds.numpy(), atol=1e-5)
        np.testing.assert_allclose(texts, expected.text_embeds.numpy(), atol=1e-5)
        logits = (expected.logits_per_image - getattr(model, "logit_bias", 0)) / model.logit_scale.exp()
        np.testing.assert_allclose(images @ texts.T, logits.detach().numpy(), atol=1e-5)

    def test_unit_rows_of_the_declared_dimension(self, model_folder, charts):
        ours = CLIPEmbedder(model_folder)
        assert isinstance(ours, ImageEmbedder) and ours.dimension == DIMENSIONS[model_folder.name]
        for rows in (ours.embed_images(charts[:3]), ours.embed_texts(TEXTS)):
            assert rows.shape == (3, ours.dimension) and rows.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert ours.embed_images([]).shape == ours.embed_texts([]).shape == (0, ours.dimension)

    def test_a_batch_gives_what_each_gives_alone_and_again(self, model_folder, charts):
        ours, single = CLIPEmbedder(model_folder, batch_size=3), CLIPEmbedder(model_folder, batch_size=1)
        assert np.array_equal(ours.embed_images(charts[:5]), ours.embed_images(charts[:5]))
        np.testing.assert_allclose(ours.embed_images(charts[:5]), single.embed_images(charts[:5]), atol=1e-5)
        np.testing.assert_allclose(ours.embed_texts([*TEXTS, ""]), single.embed_texts([*TEXTS, ""]), atol=1e-5)

    def test_a_long_text_is_cut_to_the_context_and_any_text_embeds(self, model_folder):
        ours = CLIPEmbedder(model_folder)
        long, longer = ours.embed_texts(["sales " * 100, "sales " * 100 + "red"])
        assert np.array_equal(long, longer)
        assert np.isfinite(ours.embed_texts(["\ud800", "\x00", "<|endoftext|>", "مرحبا"])).all()

    def test_threads_share_one_embedder(self, model_folder):
        texts = ["red " * (i % 9) for i in range(24)]
        ours = CLIPEmbedder(model_folder)
        with ThreadPoolExecutor(6) as pool:
            rows = list(pool.map(lambda text: ours.embed_texts([text])[0], texts))
        np.testing.assert_allclose(rows, ours.embed_texts(texts), atol=1e-5)

    def test_the_name_follows_the_files_not_the_place(self, model_folder, copy):
        assert CLIPEmbedder(copy).name == CLIPEmbedder(model_folder).name
        assert model_folder.name in CLIPEmbedder(copy).name
        weights = bytearray((copy / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (copy / "model.safetensors").write_bytes(weights)
        assert CLIPEmbedder(copy).name != CLIPEmbedder(model_folder).name

    def test_missing_tensors_are_refused_not_made_up(self, copy):
        from safetensors.torch import load_file, save_file

        weights = load_file(copy / "model.safetensors")
        del weights[next(name for name in sorted(weights) if "layers.1" in name)]
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(KBInputError, match="lack 1 tensors"):
            CLIPEmbedder(copy).embed_texts(["a"])

    @pytest.mark.parametrize("file", ["model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"])
    def test_a_folder_with_a_file_missing_or_broken_is_refused_in_one_sentence(self, copy, file):
        (copy / file).write_bytes(b"{broken")
        with pytest.raises(KBInputError) as caught:
            CLIPEmbedder(copy).embed_texts(["a"])
        assert str(copy) in str(caught.value) and "\n" not in str(caught.value)
        (copy / file).unlink()
        with pytest.raises(KBInputError):
            CLIPEmbedder(copy).embed_texts(["a"])

    def test_a_tokenizer_of_another_model_is_refused(self, copy):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(copy)
        tokenizer.add_tokens(["unheard-of"])
        tokenizer.save_pretrained(copy)
        with pytest.raises(KBInputError, match="tokens, but the model has"):
            CLIPEmbedder(copy).embed_texts(["a"])

    def test_another_kind_of_model_is_refused_by_name(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(KBInputError, match="'bert'; give one of clip or siglip"):
            CLIPEmbedder(tmp_path)

    def test_bad_arguments_are_refused(self, model_folder):
        with pytest.raises(KBInputError, match="batch_size is 0"):
            CLIPEmbedder(model_folder, batch_size=0)
        with pytest.raises(KBInputError, match="'no-such-device'"):
            CLIPEmbedder(model_folder, device="no-such-device").embed_texts(["a"])

    @pytest.mark.parametrize("package", ["torch", "transformers"])
    def test_a_missing_extra_gives_the_pip_line(self, model_folder, package, monkeypatch):
        monkeypatch.setitem(sys.modules, package, None)  # what the import system reads as "not installed"
        with pytest.raises(MissingExtraError, match=r"pip install 'polyroute\[embed\]'"):
            CLIPEmbedder(model_folder)


def test_importing_the_embedders_and_naming_a_model_loads_no_torch(model_folder):
    program = (
        "import sys; from kb_tools.embeddings.clip import CLIPEmbedder; from kb_tools.embeddings import visual; "
        "CLIPEmbedder(sys.argv[1]).name; sys.exit(bool({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program, str(model_folder)], check=False).returncode == 0
