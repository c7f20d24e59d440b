// One run as a row of a table.

import { place } from "./address.js";
import { h, spoken } from "./dom.js";
import { count, exactly, firstLine, NOTHING, seconds, signed, stopShort, usd, when } from "./format.js";

/** The columns: name in the API for sorting (null: not sortable), heading, what it means, class, and what stands in a cell. */
export const COLUMNS = [
  {
    sort: null,
    heading: "Right",
    hint: "Whether the answer is right, where that is known",
    class: "mark",
    cell: (run) => verdict(run),
  },
  { sort: "question", heading: "Question", class: "question", cell: (run) => questionLink(run) },
  {
    sort: null,
    heading: "Answer",
    class: "answer",
    cell: (run) => firstLine(run.answer) || (run.status === "open" ? "…" : NOTHING),
  },
  { sort: null, heading: "Way", hint: "Where it asked, in order", class: "way", cell: (run) => way(run.path) },
  { sort: null, heading: "Ended", hint: "Why it stopped", class: "stop", cell: (run) => stopShort(run) },
  { sort: "policy", heading: "Policy", hint: "Who decided", class: "policy", cell: (run) => run.policy || NOTHING },
  {
    sort: "steps",
    heading: "Steps",
    hint: "How often the policy decided",
    class: "steps number",
    cell: (run) => count(run.steps),
  },
  {
    sort: "usd",
    heading: "USD",
    hint: "What it cost, the policy included",
    class: "usd number",
    cell: (run) => usd(run.usd),
  },
  {
    sort: "tokens",
    heading: "Tokens",
    hint: "Of all models, in and out",
    class: "tokens number",
    cell: (run) => count(run.tokens),
  },
  {
    sort: "seconds",
    heading: "Time",
    hint: "From its beginning to its end",
    class: "seconds number",
    cell: (run) => seconds(run.seconds),
  },
  {
    sort: "reward",
    heading: "Reward",
    hint: "The reward that was computed last, by polyroute train reward",
    class: "reward number",
    cell: (run) => (run.reward === null ? NOTHING : signed(run.reward)),
  },
  {
    sort: "at",
    heading: "When",
    class: "at number",
    cell: (run) => h("time", { datetime: exactly(run.at), title: exactly(run.at) }, when(run.at)),
  },
];

/** Right, wrong or unknown: a sign, a colour and a word. */
export function verdict(run) {
  if (run.status === "open" && run.live !== false) return sign("running", "●", "running");
  if (run.status === "failed") return sign("failed", "!", "broke off");
  if (run.right === true) return sign("right", "✓", "right");
  if (run.right === false) return sign("wrong", "✗", "wrong");
  return sign("unknown", "·", "not known whether it is right");
}

const STOPS = 4;

/** Where it asked, in order, the kind by colour and by title; the same again and again is said once, and of many stops
 * the middle ones are folded. */
export function way(path, most = STOPS) {
  const shown = [];
  for (const key of path ?? []) {
    if (shown.at(-1)?.key === key) shown.at(-1).times += 1;
    else shown.push({ key, times: 1 });
  }
  const folded = shown.length > most ? shown.splice(most - 2, shown.length - most + 1) : [];
  const stops = shown.map(({ key, times }) =>
    h("span", { class: `target ${kindOf(key)}`, title: key }, nameOf(key), times > 1 ? ` ×${times}` : null),
  );
  if (folded.length)
    stops.splice(
      most - 2,
      0,
      h("span", { class: "target other", title: folded.map((one) => one.key).join(", ") }, `+${folded.length}`),
    );
  return stops;
}

/** "kb", "llm", "answer", …: the class of its colour. */
export function kindOf(key) {
  const kind = key.split(":")[0];
  return ["kb", "llm", "answer"].includes(kind) ? kind : "other";
}

/** The name without its kind. */
export function nameOf(key) {
  return key.includes(":") ? key.slice(key.indexOf(":") + 1) : key;
}

function questionLink(run) {
  const forked = run.forked_from
    ? h("span", { class: "chip", title: `Forked from ${run.forked_from.run} at step ${run.forked_from.step}` }, "fork")
    : null;
  const labels = run.labels ? h("span", { class: "chip", title: "labels" }, `${run.labels} ⚑`) : null;
  return [h("a", { href: place(["run", run.id]), tabIndex: -1 }, firstLine(run.question) || run.id), forked, labels];
}

function sign(name, glyph, words) {
  return h(
    "span",
    { class: `verdict ${name}`, title: words },
    h("span", { "aria-hidden": "true" }, glyph),
    spoken(words),
  );
}
