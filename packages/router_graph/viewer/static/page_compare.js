// Two policies on the same questions: who won, and where they first differ.

import { go, place } from "./address.js";
import { COMPARED } from "./compare_row.js";
import { h, fill } from "./dom.js";
import { count } from "./format.js";
import { Pages } from "./pages.js";
import { problem } from "./problem.js";
import { LongList } from "./virtual.js";

const OUTCOMES = [
  ["", "All"],
  ["win", "A wins"],
  ["loss", "B wins"],
  ["tie", "Ties"],
  ["unknown", "Unknown"],
];

export function comparePage({ about, renew }) {
  const names = () => about.policies ?? [];
  let renewed = false;
  const one = chooser("Policy A", () => address({ a: one.select.value }));
  const other = chooser("Policy B", () => address({ b: other.select.value }));
  const filter = h("input", {
    type: "search",
    class: "filter",
    placeholder: "Filter the runs",
    "aria-label": "Filter the runs",
    on: { change: () => address({ filter: filter.value.trim() }) },
  });
  const counts = h("div", { class: "segments", role: "group", "aria-label": "Outcome for A" });
  const body = h("div", { role: "rowgroup", class: "rows" });
  const heading = h(
    "div",
    { role: "row", class: "heading row", "aria-rowindex": 1 },
    COMPARED.map(({ heading: text, hint, class: name }) =>
      h("span", { role: "columnheader", class: name, title: hint }, h("span", null, text)),
    ),
  );
  const grid = h(
    "div",
    { role: "grid", class: "compare grid", tabIndex: 0, "aria-label": "Questions that both were asked" },
    h("div", { role: "rowgroup", class: "headings" }, heading),
    body,
  );
  const below = h("div", { class: "below" });
  const element = h(
    "div",
    { class: "page" },
    h("h1", { class: "spoken" }, "Compare"),
    h("div", { class: "tools" }, one.element, h("span", { class: "hint" }, "against"), other.element, filter, counts),
    grid,
    below,
  );
  const list = new LongList({
    scroller: grid,
    body,
    draw,
    onView: (first, last) => pages?.want(first, Math.max(last, 1)),
  });
  let asked = {};
  let pages = null;
  let active = 0;

  return {
    element,
    keys: {
      j: { help: "Next", run: () => activate(active + 1) },
      k: { help: "Previous", run: () => activate(active - 1) },
      Enter: { help: "Open side by side", run: () => open(active) },
      Escape: { help: "Back to the runs", run: () => go("#/runs") },
      "/": { help: "Filter", run: () => filter.focus() },
    },
    update({ query }) {
      document.title = "Compare – Polyroute";
      asked = {
        a: query.get("a") ?? names()[0] ?? "",
        b: query.get("b") ?? "",
        filter: query.get("filter") ?? "",
        outcome: query.get("outcome") ?? "",
      };
      if (!asked.b) asked.b = names().find((name) => name !== asked.a) ?? "";
      one.set(asked.a);
      other.set(asked.b);
      if (document.activeElement !== filter) filter.value = asked.filter;
      restart();
      if (renewed) return;
      renewed = true; // policies may have come into the log since the page was opened
      const before = names().length;
      renew().then(() => names().length !== before && this.update({ query }));
    },
    changed({ runs }) {
      if (runs === null || runs?.length) pages?.again(...list.view());
    },
    close() {
      pages?.close();
      list.close();
    },
  };

  function chooser(words, onChange) {
    const select = h("select", { "aria-label": words, on: { change: onChange } });
    const set = (value) => {
      const all = value && !names().includes(value) ? [value, ...names()] : names();
      fill(
        select,
        all.map((name) => h("option", { value: name, selected: name === value }, name)),
      );
    };
    return { element: h("label", { class: "chooser" }, h("span", null, words.slice(-1)), select), select, set };
  }

  function address(change) {
    go(place(["compare"], { ...asked, ...change }), { replace: true });
  }

  function restart() {
    pages?.close();
    active = 0;
    list.resize(0);
    if (names().length < 2 && (!asked.b || asked.a === asked.b)) {
      fill(counts);
      fill(
        below,
        h(
          "div",
          { class: "empty-state" },
          h(
            "p",
            null,
            "A comparison takes runs of two policies on the same questions. Record them, and they appear here:",
          ),
          h(
            "pre",
            { tabIndex: 0, "data-scrolls": "" },
            `${about.record} --policy heuristic\n${about.record} --policy gate`,
          ),
        ),
      );
      grid.classList.add("empty");
      return;
    }
    const mine = new Pages({
      path: "compare",
      query: asked,
      field: "rows",
      onRows: (answer) => mine === pages && took(answer),
      onError: (error) => mine === pages && fill(below, problem(error, restart)),
    });
    pages = mine;
    mine.load(0);
  }

  function took(answer) {
    fill(
      counts,
      OUTCOMES.map(([outcome, words]) => {
        const all = Object.values(answer.counts).reduce((sum, n) => sum + n, 0);
        const n = outcome ? (answer.counts[outcome] ?? 0) : all;
        return h(
          "button",
          {
            type: "button",
            class: `segment ${outcome}`,
            "aria-pressed": String(asked.outcome === outcome),
            on: { click: () => address({ outcome }) },
          },
          `${words} ${count(n)}`,
        );
      }),
    );
    list.resize(answer.total);
    list.redraw();
    grid.setAttribute("aria-rowcount", String(answer.total + 1));
    grid.classList.toggle("empty", answer.total === 0);
    fill(
      below,
      answer.total
        ? null
        : h(
            "div",
            { class: "empty-state" },
            h(
              "p",
              null,
              asked.outcome || asked.filter
                ? "No question like that."
                : "These two were not asked the same question yet.",
            ),
          ),
    );
    activate(Math.min(active, Math.max(0, answer.total - 1)), { scroll: false });
  }

  function activate(index, options) {
    const from = active;
    active = Math.max(0, Math.min(index, (pages?.total ?? 0) - 1));
    list.activate(active, options);
    list.redraw([from, active]);
    if (pages?.total) grid.setAttribute("aria-activedescendant", `row-${active}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  function open(index) {
    const row = pages?.at(index);
    if (row) go(place(["compare", row.a.id, row.b.id]));
  }

  function draw(index) {
    const row = pages.at(index);
    const props = {
      role: "row",
      id: `row-${index}`,
      class: `row${index === active ? " active" : ""}`,
      "aria-rowindex": index + 2,
    };
    if (!row) return h("div", { ...props, class: "row waiting" }, h("span", { role: "gridcell" }, "…"));
    return h(
      "div",
      { ...props, on: { click: (event) => picked(event, index) } },
      COMPARED.map((column) => h("span", { role: "gridcell", class: column.class }, column.cell(row))),
    );
  }

  function picked(event, index) {
    if (event.target.closest("a") && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    activate(index, { scroll: false });
    open(index);
  }
}
