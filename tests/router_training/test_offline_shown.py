"""What people see of a training run."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from router_training.cli_print import learned_nothing
from router_training.trainers.curves import curves, in_terminal, picture
from router_training.trainers.progress import TimeLeft

HISTORY = [{"step": n, "loss": 2.0 - n / 10, "grad_norm": 1.0, "epoch": n / 5} for n in range(1, 11)]


def test_curves_are_of_what_has_a_course() -> None:
    found = curves([*HISTORY, {"step": 10, "train_runtime": 3.0, "train_loss": 1.0}, {"step": 10, "once": 1.0}])
    assert found.keys() == {"loss", "grad_norm"}
    assert found["loss"][0] == (1, 1.9)


def test_of_an_online_trainer_the_reward_and_the_length_are_shown_and_not_each_part_of_them() -> None:
    shown = {"reward": 0.1, "eval_reward": 0.1, "completions/mean_length": 9.0, "completions/clipped_ratio": 0.0}
    parts = ("rewards/reward/mean", "eval_rewards/reward/std", "completions/min_length", "clip_ratio/low_mean")
    history = [{"step": n, **shown, **dict.fromkeys(parts, 0.0), "step_time": 1.0} for n in range(3)]
    assert curves(history).keys() == shown.keys()


def test_a_falling_curve_falls_in_the_terminal_and_keeps_to_its_width() -> None:
    line = in_terminal(HISTORY, width=5).splitlines()[0]
    assert line == "loss       █▆▄▃▁  1.9 → 1"
    many = [{"step": n, "loss": float(n)} for n in range(1000)]
    assert len(in_terminal(many, width=20).split("  ")[1]) == 20
    assert in_terminal([]) == ""
    assert "▁ ▁" in in_terminal([{"step": n, "loss": float("nan") if n == 1 else 1.0} for n in range(3)])


def test_updates_without_anything_to_compare_are_told_from_those_with() -> None:
    alike = [{"step": n, "episode/groups_without_spread": 1.0} for n in range(2)]
    assert learned_nothing(alike)
    assert not learned_nothing([*alike, {"step": 2, "episode/groups_without_spread": 0.5}])
    assert not learned_nothing(HISTORY)


def test_a_picture_is_a_png_and_nothing_is_no_picture(tmp_path: Path) -> None:
    assert picture(HISTORY, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert not picture([], tmp_path / "b.png")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_how_far_it_is_and_what_is_left(terminal: bool) -> None:
    text = io.StringIO()
    bar = TimeLeft(Console(file=text, force_terminal=terminal, width=100))
    state = SimpleNamespace(max_steps=20, global_step=0, is_world_process_zero=True)
    bar.on_train_begin(None, state, None)
    for step in range(1, 21):
        state.global_step = step
        bar.on_log(None, state, None, {"loss": 1 / step})
        bar.on_step_end(None, state, None)
    bar.on_train_end(None, state, None)
    assert "20/20" in text.getvalue()
    assert "loss 0.05" in text.getvalue()
    if not terminal:
        lines = text.getvalue().splitlines()
        assert len(lines) == 10
        assert "s left" in lines[4]


def test_processes_beside_the_first_show_nothing() -> None:
    text = io.StringIO()
    bar = TimeLeft(Console(file=text))
    state = SimpleNamespace(max_steps=1, global_step=1, is_world_process_zero=False)
    bar.on_train_begin(None, state, None)
    bar.on_step_end(None, state, None)
    bar.on_train_end(None, state, None)
    assert text.getvalue() == ""
