// Two runs side by side, opened at the first step where they differ; what is the same before it is folded.

import { place } from "./address.js";
import { get } from "./api.js";
import { h, button, fill } from "./dom.js";
import { count, counted, seconds, stopWords, usd } from "./format.js";
import { actionBox } from "./evidence.js";
import { optionTable } from "./options.js";
import { problem } from "./problem.js";
import { verdict } from "./run_row.js";
import { kindOfStep } from "./step_facts.js";
import { cardLines } from "./turn_card.js";

export function versusPage() {
  const element = h("div", {
    class: "page versus",
    tabIndex: 0,
    role: "region",
    "aria-label": "Two runs side by side",
  });
  let ids = [];
  let asked = 0;
  return {
    element,
    keys: {
      Escape: { help: "Back", run: () => element.querySelector(".crumbs a")?.click() },
      j: { help: "Down", run: () => element.scrollBy({ top: 160 }) },
      k: { help: "Up", run: () => element.scrollBy({ top: -160 }) },
    },
    update({ parts }) {
      ids = parts;
      load();
    },
    changed({ runs }) {
      if (runs === null || runs?.some((id) => ids.includes(id))) load();
    },
  };

  async function load() {
    const mine = ++asked;
    try {
      const [one, other] = ids.map((id) => encodeURIComponent(id));
      const [a, b, versus] = await Promise.all([
        get(`runs/${one}`),
        get(`runs/${other}`),
        get(`runs/${one}/versus/${other}`),
      ]);
      if (mine === asked) draw(a, b, versus);
    } catch (error) {
      if (mine === asked)
        fill(
          element,
          problem(error, error.status === 404 ? null : load),
          h("p", null, h("a", { href: "#/runs" }, "All runs")),
        );
    }
  }

  function draw(a, b, { first_difference: first, pairs }) {
    document.title = "Side by side – Polyroute";
    const at =
      first === null || first === undefined
        ? pairs.length
        : pairs.findIndex(([n, m]) => n === first || (n === null && m === first));
    const same = pairs.slice(0, at < 0 ? pairs.length : at);
    const rest = pairs.slice(same.length);
    const rows = h("div", { class: "pairs" });
    const folded = same.length
      ? button(`${counted(same.length, "step")} the same, before they differ`, unfold, {
          class: "folded",
          "aria-expanded": "false",
        })
      : null;
    fill(
      element,
      h(
        "p",
        { class: "crumbs" },
        h("a", { href: place(["compare"], { a: a.row.policy, b: b.row.policy }) }, "‹ Compare"),
      ),
      h("h1", null, a.row.question),
      b.row.question === a.row.question ? null : h("p", { class: "hint" }, "The other one: ", b.row.question),
      h("div", { class: "pair heads" }, sideHead("A", a), sideHead("B", b)),
      folded,
      rows,
      rest.length ? null : h("p", { class: "hint" }, "They did the same, step by step."),
    );
    rows.append(...rest.map((pair, n) => pairOf(pair, n === 0)));

    function unfold() {
      folded.replaceWith(
        h(
          "div",
          { class: "pairs" },
          same.map((pair) => pairOf(pair, false)),
        ),
      );
    }

    function pairOf([n, m], opened) {
      return h("div", { class: `pair${opened ? " differs" : ""}` }, cell("A", a, n, opened), cell("B", b, m, opened));
    }
  }
}

function sideHead(name, { row }) {
  return h(
    "section",
    { class: "side-head", "aria-label": name },
    h(
      "h2",
      null,
      h("span", { class: "side-name" }, name),
      h("a", { href: place(["run", row.id]) }, row.policy || row.id),
    ),
    h("p", { class: "verdicts" }, verdict(row), h("span", null, stopWords(row))),
    h("p", { class: "answer-text" }, row.answer),
    h(
      "p",
      { class: "bill" },
      [usd(row.usd), `${count(row.tokens)} tokens`, seconds(row.seconds), counted(row.steps, "step")].map((text) =>
        h("span", null, text),
      ),
    ),
  );
}

/** One side's step: a card; where they first differ, with its options and what came back. */
function cell(side, run, number, opened) {
  const step = run.steps.find((one) => one.number === number);
  if (!step) return h("div", { class: "card none" }, h("span", { class: "hint" }, "It had ended."));
  return h(
    "div",
    { class: "versus-cell", "data-side": side },
    h(
      "a",
      { class: `card ${kindOfStep(step)}`, href: place(["run", run.row.id, String(number)]) },
      cardLines(step, { differs: opened }),
    ),
    opened
      ? h(
          "div",
          { class: "opened" },
          optionTable(step.options),
          step.actions.map((action) => actionBox(action, step.options)),
        )
      : null,
  );
}
