"""`polyroute train router-r1`: a policy that learns from whole runs, which it makes while it learns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_online import Router
from router_training.cli_options import AsJSON, DryRun, ModelFolder, Out, Overrides, QuestionsFile, RecipeFile, Runs
from router_training.errors import ConfigError

if TYPE_CHECKING:
    from router_graph.policies.policy import Policy
    from router_graph.settings_live import Router as OpenRouter
    from router_graph.trajectories.records import RunRecord
    from router_training.data.rendering import Rendering
    from router_training.data.samples import Left
    from router_training.online_recipe import EpisodeRecipe
    from router_training.reward_choice import Chosen
    from router_training.rewards.gold import Questions
    from router_training.trainers.episode_credit import Rewards
    from router_training.trainers.episode_play import Graph, Graphs


@dataclass(frozen=True)
class Given:
    """What the command came to, before anything is run."""

    recipe: EpisodeRecipe
    trained: list[RunRecord]
    """The log's runs of the questions to train on."""
    asked: dict[str, RunRecord]
    rendering: Rendering
    rewards: Rewards
    about: dict[str, Any]
    questions: Questions
    left: Left


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command("router-r1", cls=PlainCommand)(router_r1)


def router_r1(
    runs: Runs,
    overrides: Overrides = None,
    model: ModelFolder = None,
    out: Out = None,
    router: Router = None,
    reward: Annotated[
        str, typer.Option("--reward", metavar="NAME", help="Of runs: router_r1, or router_r1_paper as its code has it.")
    ] = "router_r1",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of that reward; may be repeated."),
    ] = None,
    step_reward: Annotated[
        str,
        typer.Option(
            "--step-reward", metavar="NAME", help="Of steps, for credit.by=step or mixed: verifiable, r1_router."
        ),
    ] = "verifiable",
    step_settings: Annotated[
        list[str] | None,
        typer.Option("--set-step", metavar="KEY=VALUE", help="A setting of the reward of steps; may be repeated."),
    ] = None,
    questions: QuestionsFile = None,
    config: RecipeFile = None,
    dry_run: DryRun = False,
    as_json: AsJSON = False,
) -> None:
    """Run each question of the log several times, and compare the runs by how they ended (Router-R1).

    polyroute train router-r1 runs --model policy --dry-run

    polyroute train router-r1 runs --model policy --out policy-router-r1 --router router.yaml updates=200

    It needs right answers, and the knowledge bases and models themselves: every run asks
    them anew. What a reply says is trained, what came of it is only read. Begin with a
    policy that rft has made: what cannot write an action learns nothing.
    """
    from router_training.trainers.saving import check_room

    if not dry_run:
        if out is None:
            raise ConfigError("Where the policy goes is not told; give a folder, as in --out policy.")
        if router is None:
            raise ConfigError("Whom the runs ask is not told; give the graph's file, as in --router router.yaml.")
        check_room(out)
    given = _given(
        runs, model, config, overrides or [], (reward, settings or []), (step_reward, step_settings or []), questions
    )
    if dry_run:
        from router_training.cli_episodes_print import show

        show(given, as_json=as_json)
        return
    assert out is not None and router is not None
    _train(given, str(model), out, router, runs, as_json=as_json)


def _given(
    runs: Path,
    model: str | None,
    config: Path | None,
    overrides: list[str],
    reward: tuple[str, list[str]],
    step_reward: tuple[str, list[str]],
    questions: Path | None,
) -> Given:
    from router_training.cli_log import Log, questions_of
    from router_training.cli_samples import protocol_of, tokenizer_of
    from router_training.data.rendering import Rendering
    from router_training.data.samples import Left
    from router_training.data.splits import check_apart, split
    from router_training.online_recipe import EpisodeRecipe
    from router_training.recipe import read_recipe
    from router_training.trainers.config import RewardChoice
    from router_training.trainers.episode_config import episode_arguments
    from router_training.trainers.router_r1 import questions_of as asked_of

    recipe = read_recipe(EpisodeRecipe, config, overrides)
    episode_arguments(recipe, Path("checkpoints"))  # whether they go together
    known = questions_of(questions)
    log = [run for run in Log(runs) if run.is_ours]
    trained, held = split(log, held_out=recipe.split.held_out, seed=recipe.split.seed)
    check_apart(trained, held)
    rewards, chosen = _rewards(recipe, reward, step_reward, trained, known)
    recipe = recipe.model_copy(update={"reward": RewardChoice(version=rewards.version)})
    rendering = Rendering(tokenizer_of(model), protocol_of(recipe.policy.protocol), recipe.policy.thinks)
    left = Left()
    asked = asked_of(trained, rewards, known, rendering, recipe, left=left, context=_context(str(model)))
    about = chosen[0].about if len(chosen) == 1 else {**chosen[0].about, "of_steps": chosen[1].about}
    return Given(recipe, trained, asked, rendering, rewards, about, known, left)


def _rewards(
    recipe: EpisodeRecipe,
    reward: tuple[str, list[str]],
    step_reward: tuple[str, list[str]],
    trained: list[RunRecord],
    known: Questions,
) -> tuple[Rewards, list[Chosen]]:
    from router_training.reward_choice import Chosen, reward_named
    from router_training.rewards.reward import RunReward, StepReward
    from router_training.trainers.episode_credit import Rewards

    chosen = list[Chosen]()
    of_runs: RunReward | None = None
    of_steps: StepReward | None = None
    if recipe.credit.by != "step":
        chosen.append(reward_named(*reward, trained, known))
        if not isinstance(chosen[-1].reward, RunReward):
            raise ConfigError(
                f"--reward {reward[0]} scores steps, and not runs; give it as --step-reward, or take router_r1."
            )
        of_runs = chosen[-1].reward
    if recipe.credit.by != "episode":
        chosen.append(reward_named(*step_reward, trained, known))
        if not isinstance(chosen[-1].reward, StepReward):
            raise ConfigError(
                f"--step-reward {step_reward[0]} scores whole runs, and not steps; take verifiable or r1_router."
            )
        of_steps = chosen[-1].reward
    elif step_reward[1]:
        raise ConfigError(
            "--set-step is of the reward of steps, and credit is by episode; set credit.by=step or credit.by=mixed."
        )
    return Rewards(of_runs, of_steps), chosen


def _context(model: str) -> int | None:
    """How many tokens the model takes, where its folder says so."""
    from transformers import AutoConfig

    try:
        told = AutoConfig.from_pretrained(model).get_text_config()
    except (OSError, ValueError):
        return None  # whether there is a model is asked when it is loaded
    return getattr(told, "max_position_embeddings", None)


def _train(given: Given, model: str, out: Path, router: Path, runs: Path, *, as_json: bool) -> None:
    from router_graph.settings_live import load_router
    from router_training import cli_print
    from router_training.prepared import save_trained_on
    from router_training.trainers.router_r1 import train_router_r1

    recipe = given.recipe
    with load_router(router) as opened:
        train_router_r1(
            list(given.asked.values()),
            given.rewards,
            recipe,
            model,
            given.rendering.tokenizer,
            out,
            graphs=graphs_of(opened),
            questions=given.questions,
        )
    if int(os.environ.get("RANK", "0")):
        return
    save_trained_on(out, recipe.split, given.trained, given.about)
    cli_print.print_policy(out, runs, as_json=as_json)


def graphs_of(opened: OpenRouter) -> Graphs:
    """The graph of a router's file, with another policy."""

    def of(policy: Policy) -> Any:
        from router_graph.context import RouterContext
        from router_graph.graph import create_router

        turn = {**opened.settings.turn.model_dump(exclude_unset=True), "shadow": None, "ask_above_usd": None}
        graph: Graph = create_router(
            opened.resources.knowledge,
            pool=opened.resources.pool,
            policy=policy,
            exclusions=opened.settings.exclusions,
            defaults=RouterContext.model_validate(turn),
        )
        return lambda run: graph

    return of
