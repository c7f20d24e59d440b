// One question that two policies were asked, as a row of a table.

import { place } from "./address.js";
import { h } from "./dom.js";
import { firstLine, NOTHING, usd } from "./format.js";
import { verdict, way } from "./run_row.js";

const WORDS = { win: "A wins", loss: "B wins", tie: "tie", unknown: "unknown" };

/** The columns: heading, what it means, class, and what stands in a cell. */
export const COMPARED = [
  { heading: "Outcome", class: "outcome-cell", cell: outcome },
  { heading: "Question", class: "question", cell: question },
  { heading: "A", class: "side", cell: (row) => side(row.a) },
  { heading: "B", class: "side", cell: (row) => side(row.b) },
  {
    heading: "A − B",
    hint: "What A cost, less what B cost",
    class: "usd number",
    cell: (row) => difference(row.a.usd - row.b.usd),
  },
  {
    heading: "Differs at",
    hint: "The first step at which they did not do the same",
    class: "differs",
    cell: (row) => differsAt(row.first_difference),
  },
];

function outcome(row) {
  return h("span", { class: `outcome ${row.outcome}` }, WORDS[row.outcome] ?? row.outcome);
}

function question(row) {
  return h("a", { href: place(["compare", row.a.id, row.b.id]), tabIndex: -1 }, firstLine(row.question));
}

function side(run) {
  return [
    verdict(run),
    h("span", { class: "said", title: run.answer }, firstLine(run.answer) || NOTHING),
    h("span", { class: "way" }, way(run.path, 3)),
  ];
}

function difference(value) {
  if (value === 0) return "$0";
  return `${value < 0 ? "−" : "+"}${usd(Math.abs(value))}`;
}

function differsAt(step) {
  return step === null || step === undefined ? "nowhere" : `step ${step}`;
}
