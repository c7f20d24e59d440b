"""Do masks hold inside vLLM: each request its own in one batch, off never selected, prefix cache apart, at what price?

    pip install '.[vllm]'                    # in the checkout, in an environment of its own, on a machine with a GPU
    python benchmarks/mote_vllm.py MODEL     # a folder or name of a MoE model that vLLM can load
    python benchmarks/mote_vllm.py           # a tiny random model: does it run at all? Nothing to download
    python benchmarks/mote_vllm.py --cpu     # the same in vLLM's build for CPUs, which has no CUDA graphs

Three engines run one after the other, each in a process of its own: without masks, with masks, and with a record of the
routing. In half precision the tokens of a batch depend on its size even without a mask; so beside "one batch = separate
runs" stands the same share for requests without a mask. What became of experts that are off is read from vLLM's record,
and is exact. Times are told for a GPU only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

MARK, REFUSAL = "MOTE-RESULT ", "MOTE-REFUSAL "
SEED = 7
ROUNDS = 3
VARIABLE = "MOTE_VLLM_ANY_MASK"


class Refused(Exception):
    """What a worker was asked for cannot be done with the model."""


def main() -> None:
    """Run the three engines, print the table, and exit with 1 if a mask did not hold."""
    arguments = parsed()
    if arguments.worker:
        try:
            said = MARK + json.dumps(WORKERS[arguments.worker](arguments))
        except Refused as error:
            said = REFUSAL + str(error)
        print(f"\n{said}", flush=True)  # on a line of its own, whatever vLLM has left unended before it
        return
    if reason := missing(arguments):
        sys.exit(reason)
    logs = Path(tempfile.mkdtemp(prefix="mote_vllm_logs_"))
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or tiny_model(Path(folder))
        results = {name: run(name, model, arguments, logs / f"{name}.log") for name in WORKERS}
    ok = report(model if arguments.model else "a tiny random GLM-4-MoE", results, arguments)
    sys.exit(0 if ok else 1)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a folder or name; without one, a tiny random model")
    parser.add_argument("--cpu", action="store_true", help="run in vLLM's build for CPUs")
    parser.add_argument(
        "--requests", type=at_least(8), default=32, help="requests of one batch, 8 or more (default 32)"
    )
    # Shorter ones could lie in a single block of the prefix cache, whose last block is never reused.
    parser.add_argument("--prompt", type=at_least(64), default=256, help="tokens of a prompt, 64 or more (default 256)")
    parser.add_argument("--tokens", type=at_least(1), default=64, help="tokens to generate (default 64)")
    parser.add_argument(
        "--off", type=at_least(1), default=4, help="experts that a mask switches off in each layer (default 4)"
    )
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    return parser.parse_args()


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"it is {text!r}; it must be a whole number, {least} or more")
        return int(text)

    return number


def missing(arguments: argparse.Namespace) -> str | None:
    if importlib.util.find_spec("vllm") is None:
        return "vLLM is not installed; in the checkout, on a machine with a GPU, run: pip install '.[vllm]'"
    if "mote" not in {one.name for one in importlib.metadata.entry_points(group="vllm.general_plugins")}:
        return "vLLM does not find the plug-in; install polyroute into the same environment: pip install '.[vllm]'"
    from vllm.platforms import current_platform

    if arguments.cpu and not current_platform.is_cpu():
        return "--cpu needs vLLM's build for CPUs; without --cpu this build's device is used."
    if not arguments.cpu and not current_platform.is_cuda_alike():
        return "There is no GPU that vLLM can use; --cpu runs what a CPU can show, in vLLM's build for CPUs."
    return None


def tiny_model(folder: Path) -> str:
    """Groups of experts, and correction biases that are large enough to select an expert whose score is 0."""
    import torch
    from transformers import Glm4MoeConfig, Glm4MoeForCausalLM

    torch.manual_seed(SEED)
    config = Glm4MoeConfig(
        vocab_size=256, hidden_size=64, intermediate_size=64, moe_intermediate_size=32, num_hidden_layers=4,
        num_attention_heads=2, num_key_value_heads=1, head_dim=64, max_position_embeddings=2048, initializer_range=0.3,
        n_routed_experts=16, num_experts_per_tok=4, n_group=4, topk_group=2, n_shared_experts=1,
        first_k_dense_replace=1, norm_topk_prob=True, partial_rotary_factor=0.5, eos_token_id=None, bos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    model = Glm4MoeForCausalLM(config)
    for name, buffer in model.named_buffers():
        if name.endswith("correction_bias"):
            buffer.copy_(torch.rand_like(buffer) * 1.7)
    model.save_pretrained(folder)
    return str(folder)


def run(name: str, model: str, arguments: argparse.Namespace, log: Path) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MOTE_VLLM_")}
    if name != "bare":
        environment[VARIABLE] = "1"
    if arguments.cpu:
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0" if name == "record" else "1"
    command = [sys.executable, __file__, model, "--worker", name, *(["--cpu"] if arguments.cpu else [])]
    for option in ("requests", "prompt", "tokens", "off"):
        command += [f"--{option}", str(getattr(arguments, option))]
    print(f"The engine {name!r} runs; what vLLM says goes to {log}", file=sys.stderr, flush=True)
    with log.open("w", encoding="utf-8") as told:  # a file, so that it can be read while a large model loads
        subprocess.run(command, env=environment, stdout=told, stderr=subprocess.STDOUT)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        if line.startswith(MARK):
            return dict(json.loads(line.removeprefix(MARK)))
    if refusal := next((line for line in lines if line.startswith(REFUSAL)), None):
        sys.exit(f"{refusal.removeprefix(REFUSAL)} (Its log: {log})")
    sys.exit("\n".join([*lines[-40:], f"The engine {name!r} failed; {log} has all that it said."]))


class Server:
    """vLLM with what the experiments ask of it."""

    def __init__(self, arguments: argparse.Namespace, **more: Any) -> None:
        from vllm import LLM

        cpu = {"dtype": "float32", "enforce_eager": True} if arguments.cpu else {}
        length = 4 * arguments.prompt + arguments.tokens
        self.llm = LLM(
            arguments.model, skip_tokenizer_init=True, enable_prefix_caching=True, seed=SEED,
            max_model_len=length, max_num_seqs=arguments.requests, **cpu, **more,
        )  # fmt: skip
        self.config = self.llm.llm_engine.vllm_config
        text = self.config.model_config.hf_text_config
        self.vocabulary, self.layers = int(text.vocab_size), int(text.num_hidden_layers)
        self.tokens = arguments.tokens
        self._random = random.Random(SEED)

    def prompt(self, length: int) -> list[int]:
        return [self._random.randrange(10, self.vocabulary - 10) for _ in range(length)]

    def ask(self, prompts: list[list[int]], masks: list[Any], tokens: int | None = None) -> list[Any]:
        """One batch; greedy."""
        from vllm import SamplingParams

        from mote_backend.in_vllm.requests import mask_arguments

        inputs: list[Any] = []
        parameters = []
        for prompt, mask in zip(prompts, masks, strict=True):
            fields = mask_arguments(mask) if mask else {"vllm_xargs": {}}
            inputs.append({"prompt_token_ids": prompt} | ({"cache_salt": fields["cache_salt"]} if mask else {}))
            parameters.append(
                SamplingParams(
                    temperature=0,
                    max_tokens=tokens or self.tokens,
                    ignore_eos=True,
                    detokenize=False,
                    extra_args=dict(fields["vllm_xargs"]),
                )
            )
        return list(self.llm.generate(inputs, parameters, use_tqdm=False))

    def seconds(self, prompts: list[list[int]], masks: list[Any]) -> float:
        self.llm.reset_prefix_cache()
        start = time.perf_counter()
        self.ask(prompts, masks)
        return time.perf_counter() - start


def some_masks(model: Any, off: int) -> list[Any]:
    """None, and seven masks that each switch other experts of every routed layer off. Raises Refused."""
    from mote_backend import ExpertMask

    most = min(experts - top_k for experts, top_k in zip(model.experts, model.top_k, strict=True))
    if off > most:
        raise Refused(f"--off is {off}, and the model is {model}; of each layer at most {most} can be off.")
    picker = random.Random(SEED)
    masks: list[Any] = [None]
    for _ in range(7):
        chosen = [(layer, e) for layer, n in enumerate(model.experts) for e in picker.sample(range(n), off)]
        masks.append(ExpertMask(off=frozenset(chosen)))
    return masks


def fingerprint(server: Server) -> Any:
    """The model's routed layers, as the plug-in counted them."""
    from mote_backend.fingerprint import Fingerprint

    try:
        return Fingerprint.from_json(server.llm.collective_rpc("mote_fingerprint")[0])
    except Exception as error:
        if "mote_fingerprint" not in str(error):
            raise
        raise Refused(
            "vLLM has not loaded the plug-in; its log says why, and VLLM_PLUGINS must be unset or have mote."
        ) from None


def tokens_of(output: Any) -> list[int]:
    return list(output.outputs[0].token_ids)


def bare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Throughput and tokens of an engine whose plug-in sleeps."""
    server = Server(arguments)
    prompts = [server.prompt(arguments.prompt) for _ in range(arguments.requests)]
    none = [None] * len(prompts)
    tokens = [tokens_of(one) for one in server.ask(prompts, none)]
    return {"seconds": [server.seconds(prompts, none) for _ in range(ROUNDS)], "tokens": tokens}


def masked(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same without masks and with eight of them; one batch against separate runs; the prefix cache; a refusal."""
    import torch
    import vllm

    server = Server(arguments)
    masks = some_masks(fingerprint(server), arguments.off)
    prompts = [server.prompt(arguments.prompt) for _ in range(arguments.requests)]
    none, mixed = [None] * len(prompts), [masks[at % len(masks)] for at in range(len(prompts))]
    plain = [tokens_of(one) for one in server.ask(prompts, none)]
    server.llm.reset_prefix_cache()
    together = [tokens_of(one) for one in server.ask(prompts, mixed)]
    alone = []
    for prompt, mask in zip(prompts, mixed, strict=True):
        server.llm.reset_prefix_cache()
        alone.append(tokens_of(server.ask([prompt], [mask])[0]))
    same = [one == two for one, two in zip(together, alone, strict=True)]
    result: dict[str, Any] = {
        "tokens": plain,
        "same_masked": share(one for one, mask in zip(same, mixed, strict=True) if mask),
        "same_unmasked": share(one for one, mask in zip(same, mixed, strict=True) if not mask),
        "moved": share(a != b for a, b, mask in zip(plain, together, mixed, strict=True) if mask),
        "prefix": prefix(server, masks, arguments.prompt),
        "refused": refuses(server),
        "graphs": getattr(server.config.compilation_config.cudagraph_mode, "name", "?"),
        "runner": "second" if getattr(server.config, "use_v2_model_runner", False) else "first",
        "dtype": str(server.config.model_config.dtype).removeprefix("torch."),
        "versions": {"vllm": vllm.__version__, "torch": torch.__version__},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "plain_seconds": [],
        "mixed_seconds": [],
    }
    for _ in range(ROUNDS):
        result["plain_seconds"].append(server.seconds(prompts, none))
        result["mixed_seconds"].append(server.seconds(prompts, mixed))
    return result


def prefix(server: Server, masks: list[Any], length: int) -> dict[str, Any]:
    """One prompt under three masks, twice: cached tokens and whether the second answer is the first."""
    server.llm.reset_prefix_cache()
    prompt, order = server.prompt(4 * length), [masks[1], None, masks[2]]
    first = [server.ask([prompt], [mask])[0] for mask in order]
    again = [server.ask([prompt], [mask])[0] for mask in order]
    return {
        "cached_first": [int(one.num_cached_tokens or 0) for one in first],
        "cached_again": [int(one.num_cached_tokens or 0) for one in again],
        "same": share(tokens_of(one) == tokens_of(two) for one, two in zip(first, again, strict=True)),
    }


def refuses(server: Server) -> bool:
    """A mask that the model cannot have is refused, by the front end or by the engine, and the engine lives on."""
    from mote_backend import ExpertMask

    prompt = server.prompt(8)
    try:
        output = server.ask([prompt], [ExpertMask(off=frozenset({(9999, 1)}))], tokens=2)[0]
        refused = output.outputs[0].finish_reason == "error"
    except ValueError:
        refused = True
    return refused and len(tokens_of(server.ask([prompt], [None], tokens=2)[0])) == 2


def record(arguments: argparse.Namespace) -> dict[str, int]:
    """What was routed in one batch of different masks: as vLLM returns it with each answer, or, in its build for CPUs,
    which cannot, as its routers hand it to a capture function."""
    counts = Counter(selections=0, off_selected=0, off_selected_unmasked=0, repeated=0)
    server = Server(arguments, **({} if arguments.cpu else {"enable_return_routed_experts": True}))
    model = fingerprint(server)
    masks, routed = some_masks(model, arguments.off), model.layers
    prompts = [server.prompt(arguments.prompt) for _ in range(arguments.requests)]
    mixed = [masks[at % len(masks)] for at in range(len(prompts))]

    def count(rows: list[list[int]], off: set[int], masked: bool) -> None:
        counts["off_selected" if masked else "off_selected_unmasked"] += sum(e in off for row in rows for e in row)
        counts["selections"] += sum(len(row) for row in rows)
        counts["repeated"] += sum(len(set(row)) != len(row) for row in rows)

    def capture(worker: Any) -> None:
        for module in worker.model_runner.model.modules():
            if getattr(getattr(module, "router", None), "mote", None) is not None:
                module.router.set_capture_fn(partial(captured, module.router.mote))

    def captured(masks_of_layer: Any, ids: Any) -> None:
        tables, layer = masks_of_layer.tables, masks_of_layer.layer
        for row, chosen in zip(tables.row_of_token[: len(ids)].tolist(), ids.tolist(), strict=True):
            off = tables.shift[layer, row].isneginf().nonzero().flatten().tolist()
            count([chosen], set(off) if row else off_in(masks[1], layer), bool(row))

    if arguments.cpu:
        server.llm.collective_rpc(capture)
    answers = server.ask(prompts, mixed)
    for answer, mask in zip(answers if not arguments.cpu else [], mixed, strict=not arguments.cpu):
        # [tokens, layers of the model, k]; a layer that routes nothing has the same record everywhere
        seen = answer.outputs[0].routed_experts
        at = [layer for layer in range(seen.shape[1]) if seen[:, layer].min() != seen[:, layer].max()]
        if len(at) != routed:
            raise RuntimeError(f"vLLM recorded {len(at)} routed layers, and the plug-in counted {routed}.")
        for layer, place in enumerate(at):
            count(seen[:, place].tolist(), off_in(mask or masks[1], layer), mask is not None)
    return dict(counts)


def off_in(mask: Any, layer: int) -> set[int]:
    return {expert for one, expert in mask.off if one == layer}


WORKERS = {"bare": bare, "masked": masked, "record": record}


def share(hits: Any) -> float:
    values = [bool(one) for one in hits]
    return sum(values) / len(values) if values else float("nan")


def report(model: str, results: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> bool:
    """Print what was found; whether all that must hold did."""
    plain, with_masks, seen = results["bare"], results["masked"], results["record"]
    cache = with_masks["prefix"]
    unmasked_same = share(one == two for one, two in zip(plain["tokens"], with_masks["tokens"], strict=True))
    exact = with_masks["dtype"] == "float32"
    checks = [
        ("selections of an expert that is off", f"{seen['off_selected']:,} of {seen['selections']:,}",
         seen["off_selected"] == 0),
        ("the same experts under no mask", f"{seen['off_selected_unmasked']:,}", seen["off_selected_unmasked"] > 0),
        ("tokens with an expert twice", f"{seen['repeated']:,}", seen["repeated"] == 0),
        ("one batch = separate runs, masked", f"{with_masks['same_masked']:.0%}",
         not exact or with_masks["same_masked"] == 1),
        ("one batch = separate runs, unmasked", f"{with_masks['same_unmasked']:.0%}", True),
        ("answers that a mask changed", f"{with_masks['moved']:.0%}", with_masks["moved"] > 0),
        ("unmasked = engine without masks", f"{unmasked_same:.0%}", not exact or unmasked_same == 1),
        ("cached tokens: A, none, B", f"{cache['cached_first']}", not any(cache["cached_first"])),
        ("cached tokens: A, none, B again", f"{cache['cached_again']}", all(cache["cached_again"])),
        ("the second answers are the first", f"{cache['same']:.0%}", not exact or cache["same"] == 1),
        ("a wrong mask is refused, the engine lives", str(with_masks["refused"]), with_masks["refused"]),
        ("CUDA graphs", "none on a CPU" if arguments.cpu else with_masks["graphs"],
         arguments.cpu or with_masks["graphs"] != "NONE"),
    ]  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in with_masks["versions"].items())
    print(f"{model} on {with_masks['device']}, {with_masks['dtype']}, {versions}, {with_masks['runner']} model runner;")
    print(f"{arguments.requests} requests of {arguments.prompt} + {arguments.tokens} tokens, 8 masks.\n")
    for name, value, holds in checks:
        print(f"| {name} | {value} | {'holds' if holds else 'BROKEN'} |")
    if arguments.cpu:
        return all(holds for _, _, holds in checks)
    base = statistics.median(plain["seconds"])
    for name, key in (("no request masked", "plain_seconds"), ("seven of eight masked", "mixed_seconds")):
        spread = [one / base for one in with_masks[key]]
        span = f"{statistics.median(spread):.2f} ({min(spread):.2f} to {max(spread):.2f})"
        print(f"| time ÷ engine without masks: {name} | {span} | |")
    return all(holds for _, _, holds in checks)


if __name__ == "__main__":
    main()
