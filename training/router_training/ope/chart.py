"""The report as a PNG picture: each policy's estimate with its interval, and the candidate by subgroup."""

from __future__ import annotations

from pathlib import Path

from kb_tools.terminal import one_line
from router_training.errors import ConfigError
from router_training.ope.estimate import CannotTell, Estimate
from router_training.ope.report import Report


def save_chart(path: str | Path, report: Report) -> None:
    """Points with 95 % intervals; "cannot tell" is said where nothing is known. `ConfigError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("A picture needs matplotlib; install it with `pip install matplotlib`.") from None
    rows: list[tuple[str, Estimate | CannotTell]] = [*report.policies.items()]
    rows += [(f"{report.candidate}, {one.kind}: {one.name}", one.estimate) for one in report.groups]
    figure = Figure(figsize=(8, 1.2 + 0.35 * (len(rows) + 1)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(report.logged.low, report.logged.high, color="0.9", zorder=0)
    axes.axvline(report.logged.value, color="0.6", zorder=0)
    for place, (_, one) in enumerate(rows):
        colour = "tab:blue" if place < len(report.policies) else "tab:gray"
        if isinstance(one, CannotTell):
            axes.text(
                report.logged.value, place, f"cannot tell ({one.rule})", va="center", ha="center", color="tab:red"
            )
            continue
        axes.plot([one.value.low, one.value.high], [place, place], color=colour)
        axes.plot(one.value.value, place, "o", color=colour)
    # a dollar sign in a name would be read as a formula
    axes.set_yticks(range(len(rows)), [one_line(name).replace("$", r"\$") for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("reward per run; grey: the policy that made the log")
    figure.savefig(Path(path), format="png", dpi=120)
