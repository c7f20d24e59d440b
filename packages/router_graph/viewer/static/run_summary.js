// The head of a run: the question, the answer, how it ended, what it cost.

import { place } from "./address.js";
import { answerBox } from "./answer.js";
import { h } from "./dom.js";
import { count, counted, exactly, seconds, signed, stopWords, usd, when } from "./format.js";
import { budgetGauge } from "./gauge.js";
import { nameOf, verdict } from "./run_row.js";
import { rewardOf } from "./step_facts.js";

const TRUTH = { true: "right", false: "wrong" };

export function runSummary(run, { fixed }) {
  const { row } = run;
  const reward = row.reward ?? rewardOf(run.rewards);
  return h(
    "div",
    { class: "summary" },
    h("h1", null, row.question || "(no question)"),
    h(
      "p",
      { class: "verdicts" },
      row.status === "ended" && typeof row.right !== "boolean" ? null : verdict(row),
      h(
        "span",
        null,
        row.right === null || row.right === undefined ? null : `${TRUTH[row.right]} · `,
        run.waiting?.length ? "It waits for a person" : stopWords(row),
      ),
      row.forked_from ? forked(row, fixed) : null,
    ),
    run.error ? h("p", { class: "notice" }, run.error) : null,
    row.status === "open" && !row.answer ? null : answerBox(run),
    run.gold?.answers?.length && row.right !== true
      ? h("p", { class: "hint gold" }, "Gold: ", run.gold.answers.join(" | "))
      : null,
    h(
      "p",
      { class: "bill" },
      [
        row.policy,
        usd(row.usd),
        `${count(row.tokens)} tokens`,
        seconds(row.seconds),
        counted(row.steps, "step"),
        reward === null ? null : `reward ${signed(reward)}`,
        row.labels ? counted(row.labels, "label") : null,
      ]
        .filter(Boolean)
        .map((text) => h("span", null, text)),
      h("time", { datetime: exactly(row.at), title: exactly(row.at) }, when(row.at)),
    ),
    budgetGauge(run.gauge),
    row.forks && !fixed
      ? h(
          "p",
          { class: "hint" },
          h(
            "a",
            { href: place(["runs"], { filter: `forked:true question_id:${quoted(row.question_id)}` }) },
            counted(row.forks, "fork"),
            " of this run",
          ),
        )
      : null,
  );
}

/** A text as the filter language takes it. */
function quoted(text) {
  return `"${(text ?? "").replace(/["\\]/g, "\\$&")}"`;
}

function forked(row, fixed) {
  const { run, step } = row.forked_from;
  const text = `forked at step ${step} from `;
  if (fixed) return h("span", { class: "hint" }, text, nameOf(run).slice(0, 8));
  return h(
    "span",
    { class: "hint" },
    text,
    h("a", { href: place(["run", run, String(step)]) }, run.slice(0, 8)),
    ", ",
    h("a", { href: place(["compare", run, row.id]) }, "compare"),
  );
}
