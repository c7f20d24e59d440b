"""The model that is trained, and what is trained of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from router_training.errors import ConfigError
from router_training.trainers.config import Lora
from router_training.trainers.tokenizing import check_comes_back


def check_folder(model: str | Path) -> None:
    """Raise `ConfigError` where a model is no folder. Nothing is asked of the hub, which would hear of the name."""
    if not Path(model).is_dir():
        raise ConfigError(
            f"There is no folder {str(model)!r}; give that of a model with its tokenizer. A model of the hub comes "
            "into one by `hf download NAME --local-dir FOLDER`."
        )


def first_line(error: BaseException) -> str:
    """What is wrong, of what may be a page."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class Seeded(Protocol):
    """The config of any trainer."""

    @property
    def seed(self) -> int:
        """Of all that is drawn."""
        ...


def name_of(model: Any) -> str:
    """Where a model lies, or came from; empty if it was made in memory."""
    return str(model) if isinstance(model, str | Path) else str(getattr(model.config, "_name_or_path", ""))


def load(model: Any, tokenizer: Any, config: Seeded) -> tuple[Any, Any]:
    """The model and its tokenizer, from a folder where one is given. Raises `ConfigError` where it cannot be loaded,
    or where its tokenizer would not come back from a folder.

    Weights are safetensors, and no code that comes with them is run.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(config.seed)
    given = model
    if isinstance(model, str | Path):
        check_folder(model)
        try:
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(str(model), local_files_only=True)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(model), dtype="float32", use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # damaged files raise what their readers raise
            raise ConfigError(
                f"The model {str(given)!r} cannot be loaded ({first_line(error)}); give a folder of one."
            ) from error
        model, found = loaded
        if lacking := sorted(found["missing_keys"]):
            raise ConfigError(
                f"The weights in {str(given)!r} lack {len(lacking):,} of the model's tensors, such as {lacking[0]}; "
                "they would be random: save the model anew."
            )
    if tokenizer is None:
        raise ConfigError("A model in memory needs its tokenizer beside it.")
    check_comes_back(tokenizer, model)
    model.__dict__.pop("forward", None)  # TRL's, of an earlier run: in a copy it would run the original's weights
    return model, tokenizer


def adapter(lora: Lora | None, model: Any) -> Any:
    """peft's settings. Raises `ConfigError` without peft, and where the model has no such layers."""
    if lora is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError("lora needs peft: pip install 'polyroute[train]' peft.") from error
    made = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
    )
    if lora.targets != "all-linear":
        _check_targets(made, model)
    return made


def _check_targets(made: Any, model: Any) -> None:
    from peft.tuners.tuners_utils import check_target_module_exists

    names = [name for name, _ in model.named_modules()]
    if not any(check_target_module_exists(made, name) for name in names):
        layers = sorted({last for name in names if (last := name.rpartition(".")[2]).endswith("_proj")})
        there_is = f"it has {', '.join(layers)}, or take" if layers else "take"
        raise ConfigError(
            f"lora.targets {made.target_modules!r:.80} names no layer of the model; {there_is} all-linear."
        )


def check_base(lora: Lora | None, base: str) -> None:
    """Raise `ConfigError` where an adapter would be saved whose model lies nowhere."""
    if lora is not None and not lora.merge and not Path(base or "?").is_dir():
        raise ConfigError(
            "An adapter is saved without its base, which must lie in a folder; give the model as a folder, or set "
            "lora.merge."
        )


def check_merging(lora: Lora | None, trainer: Any) -> None:
    """Raise `ConfigError` where an adapter could not be merged at the end."""
    if lora is not None and lora.merge and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        raise ConfigError(
            "An adapter cannot be merged into a model whose weights are sharded; set lora.merge to false, and give the "
            "model as a folder."
        )


def own_progress(trainer: Any) -> None:
    """Our bar in place of transformers', which prints each update's figures."""
    from transformers import PrinterCallback, ProgressCallback

    from router_training.trainers.progress import TimeLeft

    for other in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(other)
    trainer.add_callback(TimeLeft())
