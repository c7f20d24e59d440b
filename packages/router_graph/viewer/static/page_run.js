// A run: its head and its steps on one side, a step on the other; on a narrow screen one after the other.

import { go, here, place } from "./address.js";
import { download, get, inlined } from "./api.js";
import { openDialog } from "./dialog.js";
import { h, button, fill } from "./dom.js";
import { forkDialog } from "./fork.js";
import { label } from "./labels.js";
import { problem } from "./problem.js";
import { runAbout } from "./run_about.js";
import { runSummary } from "./run_summary.js";
import { stepPanel } from "./step_panel.js";
import { timeline } from "./timeline.js";
import { turnCard } from "./turn_card.js";
import { LongList } from "./virtual.js";
import { waitingBox } from "./waiting.js";

export function runPage({ about }) {
  const fixed = inlined !== null;
  const can = fixed ? {} : (about.can ?? {});
  const head = h("div");
  const strip = h("div");
  const body = h("div", { class: "cards" });
  const cards = h("div", { role: "listbox", class: "steps-list", tabIndex: 0, "aria-label": "Steps" }, body);
  const left = h("div", { class: "run-side", role: "region", "aria-label": "The run" }, crumbs(), head, strip, cards);
  const right = h("div", {
    class: "step-side",
    role: "region",
    "aria-label": "The step",
    tabIndex: 0,
    "data-scrolls": "",
  });
  const element = h("div", { class: "page split" }, left, right);
  const list = new LongList({ scroller: left, body, draw: (index) => drawCard(index) });
  const panel = stepPanel({
    can,
    fixed,
    onLabel: load,
    onStep: (number) => openStep(number, { replace: true }),
    onClose: leaveStep,
  });

  let id = null;
  let run = null;
  let step = null;
  let highlighted = 1;
  let aside = false;
  let wanted = null;
  let drawn = new Map();

  body.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) openStep(Number(card.id.replace("step-", "")));
  });

  return {
    element,
    keys: {
      j: { help: "Next step", run: () => move(1) },
      k: { help: "Previous step", run: () => move(-1) },
      Enter: { help: "Open the step", run: () => openStep(highlighted) },
      Escape: { help: "Back", run: leave },
      ...(fixed
        ? {}
        : {
            f: { help: "Fork: another action at this step", run: () => current() && forkDialog(run, current(), can) },
            g: { help: "Label: good", run: () => give("good") },
            b: { help: "Label: bad", run: () => give("bad") },
            B: { help: "Label: better would have been …", run: () => give("better") },
            c: { help: "Compare with its original, or policies", run: compare },
            e: { help: "Export as one file", run: exported },
          }),
    },
    update({ parts, query }) {
      aside = parts[1] === "about";
      const number = /^\d+$/.test(parts[1] ?? "") ? Number(parts[1]) : null;
      wanted = query.get("hit");
      step = number;
      if (number) highlighted = number;
      if (id !== parts[0]) {
        id = parts[0];
        load();
      } else if (run) drawStep();
    },
    changed({ runs }) {
      if (runs === null || runs?.includes(id)) load();
    },
    close: () => list.close(),
  };

  async function load() {
    try {
      const answer = await get(`runs/${encodeURIComponent(id)}`);
      const first = run === null;
      run = answer;
      draw();
      if (first && document.activeElement === document.body) cards.focus({ preventScroll: true });
    } catch (error) {
      fill(
        head,
        problem(error, error.status === 404 ? null : load),
        h("p", null, h("a", { href: "#/runs" }, "All runs")),
      );
    }
  }

  function draw() {
    document.title = `${run.row.question.slice(0, 60) || "Run"} – Polyroute`;
    part(head, [run.row, run.error, run.citations, run.gauge, run.rewards, run.gold, run.waiting], () => [
      runSummary(run, { fixed }),
      waitingBox(run, load),
      lead(),
    ]);
    part(
      strip,
      [
        run.steps.map((one) => [
          one.seconds,
          one.actions.length,
          one.actions.map((action) => action.observation?.seconds),
        ]),
        step,
      ],
      () => timeline(run.steps, { active: step, onStep: openStep }),
    );
    const texts = run.steps.map((one) => JSON.stringify(one));
    const other = texts.flatMap((text, index) => (drawn.get(index) === text ? [] : [index]));
    drawn = new Map(texts.entries());
    list.resize(run.steps.length);
    list.redraw(other);
    cards.hidden = run.steps.length === 0;
    drawStep();
  }

  /** Drawn anew only where its data changed: what was unfolded or focused stays. */
  function part(node, data, content) {
    const now = JSON.stringify(data);
    if (node.drawnFrom === now) return;
    node.drawnFrom = now;
    fill(node, content());
  }

  function drawStep() {
    const before = list.active;
    highlighted = Math.max(1, Math.min(highlighted, run.steps.length));
    element.classList.toggle("has-step", step !== null || aside);
    list.active = highlighted - 1;
    list.redraw([before, highlighted - 1]);
    if (run.steps.length) cards.setAttribute("aria-activedescendant", `step-${highlighted}`);
    for (const [index, span] of [...(strip.firstChild?.children ?? [])].entries())
      span.classList.toggle("active", index + 1 === step);
    if (step === null) return void showAbout();
    list.reveal(highlighted - 1);
    const found = run.steps.find((one) => one.number === step);
    right.dataset.shows = "step";
    if (!found) return void fill(right, back(), h("p", { class: "problem" }, `This run has no step ${step}.`));
    if (right.firstChild?.nextSibling !== panel.element) fill(right, back(), panel.element);
    if (right.dataset.step !== String(step)) right.scrollTop = 0;
    right.dataset.step = String(step);
    panel.update(run, found);
    if (wanted) showHit(wanted);
    wanted = null;
  }

  function showAbout() {
    const now = JSON.stringify([run.rewards, run.calls, run.settings, run.row.id]);
    if (right.dataset.shows === "about" && right.drawnFrom === now) return;
    right.dataset.shows = "about";
    right.dataset.step = "";
    right.drawnFrom = now;
    fill(right, back(), runAbout(run));
  }

  function showHit(named) {
    const hit = [...right.querySelectorAll("[data-hit]")].find((one) => one.dataset.hit === named);
    hit?.scrollIntoView({ block: "start" });
    hit?.focus({ preventScroll: true });
  }

  function drawCard(index) {
    const one = run.steps[index];
    return turnCard(one, { active: one.number === highlighted, size: run.steps.length });
  }

  function openStep(number, options) {
    if (!run?.steps.length) return;
    const to = Math.max(1, Math.min(number, run.steps.length));
    go(place(["run", id, String(to)]), { replace: step !== null, ...options });
  }

  function move(by) {
    if (!run?.steps.length) return;
    if (step !== null) return openStep(step + by, { replace: true });
    const before = highlighted;
    highlighted = Math.max(1, Math.min(highlighted + by, run.steps.length));
    list.activate(highlighted - 1);
    list.redraw([before - 1, highlighted - 1]);
    cards.setAttribute("aria-activedescendant", `step-${highlighted}`);
  }

  function leaveStep() {
    go(place(["run", id]));
    cards.focus({ preventScroll: true });
  }

  function leave() {
    if (here().parts[1]) leaveStep();
    else if (!fixed) go("#/runs");
  }

  function current() {
    return run?.steps.find((one) => one.number === (step ?? highlighted));
  }

  function give(verdict) {
    if (can.label && current()) label(run, current(), verdict, load);
  }

  function compare() {
    const from = run?.row.forked_from?.run;
    go(from ? place(["compare", from, id]) : place(["compare"], { a: run?.row.policy }));
  }

  async function exported() {
    try {
      await download(`runs/${encodeURIComponent(id)}/export`, `run-${id.slice(0, 12)}.html`);
    } catch (error) {
      openDialog("The run was not exported", problem(error));
    }
  }

  function crumbs() {
    if (fixed) return null;
    return h(
      "p",
      { class: "crumbs" },
      h("a", { href: "#/runs" }, "‹ Runs"),
      button("Export", exported, { class: "quiet", title: "One HTML file, without secrets (e)" }),
    );
  }

  /** On a narrow screen, the way back to the run, and the way to its settings. */
  function back() {
    return h("p", { class: "crumbs narrow-only" }, button("‹ The run", leaveStep, { class: "quiet" }));
  }

  function lead() {
    return h("p", { class: "crumbs narrow-only" }, h("a", { href: place(["run", id, "about"]) }, "Settings and more"));
  }
}
