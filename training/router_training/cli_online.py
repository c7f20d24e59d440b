"""`polyroute train step-grpo`: a policy that is sampled while it learns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import (
    AsJSON,
    DryRun,
    ModelFolder,
    Out,
    Overrides,
    QuestionsFile,
    RecipeFile,
    Resume,
    Runs,
)
from router_training.errors import ConfigError

if TYPE_CHECKING:
    from router_graph.trajectories.records import RunRecord
    from router_training.data.rendering import Rendering
    from router_training.online_recipe import OnlineRecipe
    from router_training.reward_choice import Chosen
    from router_training.rewards.gold import Questions

Router = Annotated[
    Path | None,
    typer.Option(
        "--router",
        metavar="FILE",
        help="The router.yaml whose knowledge bases and models are asked. What it asks costs what it costs.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class _Given:
    recipe: OnlineRecipe
    trained: list[RunRecord]
    held: list[RunRecord]
    rendering: Rendering
    chosen: Chosen
    questions: Questions


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command("step-grpo", cls=PlainCommand)(step_grpo)


def step_grpo(
    runs: Runs,
    overrides: Overrides = None,
    model: ModelFolder = None,
    out: Out = None,
    router: Router = None,
    reward: Annotated[str, typer.Option("--reward", metavar="NAME", help="Of steps: verifiable or r1_router.")] = (
        "verifiable"
    ),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the reward; may be repeated."),
    ] = None,
    questions: QuestionsFile = None,
    config: RecipeFile = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: AsJSON = False,
) -> None:
    """Sample replies in recorded states, do what they want, and compare what came of it (Step-GRPO).

    polyroute train step-grpo runs --model policy --dry-run

    polyroute train step-grpo runs --model policy --out policy-step-grpo --router router.yaml updates=200

    It needs right answers (and needed documents, where these are paid for), and the
    knowledge bases themselves. Begin with a policy that rft has made: what cannot
    write an action learns nothing.
    """
    from router_training.trainers.saving import check_room

    if not dry_run:
        if out is None:
            raise ConfigError("Where the policy goes is not told; give a folder, as in --out policy.")
        if router is None:
            raise ConfigError(
                "Whom the sampled routes ask is not told; give the graph's file, as in --router router.yaml."
            )
        if not resume:
            check_room(out)
    given = _given(runs, model, config, overrides or [], reward, settings or [], questions)
    if dry_run:
        _show(given, str(model), as_json=as_json)
        return
    assert out is not None and router is not None
    _train(given, str(model), out, router, runs, resume=resume, as_json=as_json)


def _given(
    runs: Path,
    model: str | None,
    config: Path | None,
    overrides: list[str],
    reward: str,
    settings: list[str],
    questions: Path | None,
) -> _Given:
    from router_training.cli_log import Log, questions_of
    from router_training.cli_samples import protocol_of, tokenizer_of
    from router_training.data.rendering import Rendering
    from router_training.data.splits import check_apart, split
    from router_training.online_recipe import OnlineRecipe
    from router_training.recipe import read_recipe
    from router_training.reward_choice import reward_named
    from router_training.rewards.reward import StepReward
    from router_training.rewards.scoring import check_gold
    from router_training.trainers.config import RewardChoice

    recipe = read_recipe(OnlineRecipe, config, overrides)
    known = questions_of(questions)
    log = [run for run in Log(runs) if run.is_ours]
    trained, held = split(log, held_out=recipe.split.held_out, seed=recipe.split.seed)
    check_apart(trained, held)
    chosen = reward_named(reward, settings, trained, known)
    if not isinstance(chosen.reward, StepReward):
        raise ConfigError(f"{reward!r} scores whole runs, and step-grpo compares steps; take verifiable or r1_router.")
    check_gold(trained, known, chosen.reward.needs)
    recipe = recipe.model_copy(update={"reward": RewardChoice(version=chosen.reward.version)})
    rendering = Rendering(tokenizer_of(model), protocol_of(recipe.policy.protocol), recipe.policy.thinks)
    return _Given(recipe, trained, held, rendering, chosen, known)


def _show(given: _Given, model: str, *, as_json: bool) -> None:
    from kb_tools import terminal
    from router_training.cli_samples import context_of
    from router_training.data.samples import Left
    from router_training.trainers.online_states import check_prompts, states_of

    left, recipe = Left(), given.recipe
    found = states_of(given.trained, given.rendering, most_tokens=recipe.most_tokens, left=left)
    check_prompts(found, given.rendering, recipe.longest_reply, context_of(model))
    texts = [_text(one.messages, given) for one in found[:: max(1, len(found) // 3)][:3]]
    told: dict[str, Any] = {
        "method": "step-grpo",
        "reward": recipe.reward.version,
        "states": len(found),
        "replies_of_an_update": recipe.groups * recipe.samples,
        "updates": recipe.updates,
        "left_out": dict(left.counts),
    }
    if as_json:
        terminal.print_json({**told, "shown": texts})
    else:
        for number, text in enumerate(texts, start=1):
            terminal.console().print(f"{number}. {terminal.plain(text)}⟦…⟧\n", soft_wrap=True)
        terminal.print_fields({key: value for key, value in told.items() if key != "left_out"})
        for why, count in left.counts.items():
            terminal.note(f"Left out: {count:,} {why}.")
    terminal.note("Nothing was trained (--dry-run).")


def _text(messages: list[dict[str, Any]], given: _Given) -> str:
    return str(given.rendering.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def _train(given: _Given, model: str, out: Path, router: Path, runs: Path, *, resume: bool, as_json: bool) -> None:
    from router_graph.settings_live import load_router
    from router_training import cli_print
    from router_training.collecting import Collecting
    from router_training.credit.searches import Searches
    from router_training.prepared import save_trained_on
    from router_training.rewards.reward import StepReward
    from router_training.rewards.scoring import lacks
    from router_training.trainers.executing import Executor
    from router_training.trainers.step_grpo import judged_by, train_step_grpo

    recipe, reward = given.recipe, given.chosen.reward
    assert isinstance(reward, StepReward)
    with load_router(router) as opened:
        execute = Executor(Searches(opened.resources.knowledge), opened.resources.pool)
        train_step_grpo(
            given.trained,
            judged_by(reward, execute, given.rendering.protocol, given.questions),
            recipe,
            model,
            given.rendering.tokenizer,
            out,
            held=[run for run in given.held if not lacks(given.questions.of(run), reward.needs)],
            resume=resume,
            collect=None if recipe.refresh_every is None else Collecting(router, given.trained),
        )
    if int(os.environ.get("RANK", "0")):
        return
    save_trained_on(out, recipe.split, given.trained, given.chosen.about)
    cli_print.print_policy(out, runs, as_json=as_json)
