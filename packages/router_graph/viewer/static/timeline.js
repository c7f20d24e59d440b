// A run as a strip: each step as wide as the time it took. For the eye and the mouse; the cards say the same.

import { h } from "./dom.js";
import { seconds } from "./format.js";
import { cameBack, keyOf, kindOfStep, takenBy } from "./step_facts.js";

export function timeline(steps, { active, onStep }) {
  if (!steps.length) return null;
  const total = steps.reduce((sum, step) => sum + takenBy(step).seconds, 0);
  const least = total / 200 || 1; // a step of no time can still be hit
  return h(
    "div",
    { class: "timeline", "aria-hidden": "true" },
    steps.map((step) => {
      const took = takenBy(step).seconds;
      const title = `${step.number}: ${step.actions.map(keyOf).join(", ")}, ${seconds(took)}: ${step.actions.map(cameBack).join("; ").slice(0, 120)}`;
      return h("span", {
        class: `${kindOfStep(step)}${step.number === active ? " active" : ""}`,
        title,
        style: { "flex-grow": String((1000 * Math.max(took, least)) / (total || 1)) },
        on: { click: () => onStep(step.number) },
      });
    }),
  );
}
