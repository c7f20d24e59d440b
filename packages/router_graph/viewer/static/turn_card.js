// One step in three lines: where it asked with which words, the thought, what came back.

import { h, spoken } from "./dom.js";
import { exactly, firstLine, forcedWords, share, signed, usd } from "./format.js";
import { kindOf, nameOf } from "./run_row.js";
import { cameBack, chanceOf, citedIn, isWaiting, keyOf, kindOfStep, rewardOf, takenBy } from "./step_facts.js";

const MARKS = { good: "good", bad: "bad", better: "better known" };

/** The lines of a card. `differs`: mark it as the first that is not the other run's. */
export function cardLines(step, { differs = false } = {}) {
  const taken = takenBy(step);
  const chance = chanceOf(step);
  const cited = citedIn(step);
  const reward = rewardOf(step.rewards);
  const [first, ...more] = step.actions;
  const label = step.labels?.at(-1);
  return [
    h(
      "span",
      { class: "asked" },
      h("span", { class: "turn" }, step.number),
      first
        ? [
            h("span", { class: `target ${kindOf(keyOf(first))}`, title: keyOf(first) }, nameOf(keyOf(first))),
            first.query ? h("q", null, first.query) : null,
          ]
        : "thinking",
      more.length ? h("span", { class: "chip" }, `and ${more.length} more`) : null,
      step.cached ? h("span", { class: "chip", title: "Taken from the log: it cost nothing" }, "from the log") : null,
      step.forced ? h("span", { class: "chip warn" }, forcedWords(step.forced)) : null,
      differs ? h("span", { class: "chip warn" }, "differs here") : null,
      label ? h("span", { class: `chip ${label.verdict}` }, MARKS[label.verdict] ?? label.verdict) : null,
      h(
        "span",
        { class: "figures" },
        chance === null ? null : h("span", { title: `chance ${chance}` }, spoken("chance "), share(chance)),
        reward === null ? null : h("span", { class: reward < 0 ? "minus" : "plus" }, spoken("reward "), signed(reward)),
        h("span", null, usd(taken.usd)),
      ),
    ),
    h(
      "span",
      { class: "thought", title: step.at ? exactly(step.at) : null },
      firstLine(step.thought) || (step.problem ? firstLine(step.problem) : "–"),
    ),
    h(
      "span",
      { class: `came ${first?.observation?.status ?? ""}${isWaiting(step) ? " waiting" : ""}` },
      first ? cameBack(first) : step.problem,
      cited ? h("span", { class: "cited" }, ` ${cited} cited`) : null,
    ),
  ];
}

/** A card of a list of steps. */
export function turnCard(step, { active, size }) {
  return h(
    "div",
    {
      role: "option",
      id: `step-${step.number}`,
      class: `card ${kindOfStep(step)}${active ? " active" : ""}`,
      "aria-selected": String(active),
      "aria-setsize": size,
      "aria-posinset": step.number,
    },
    cardLines(step),
  );
}
