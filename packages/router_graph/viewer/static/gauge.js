// The budget: one bar of money, and what else is limited, each with its numbers as text.

import { h } from "./dom.js";
import { count, seconds, usd } from "./format.js";

const PARTS = [
  ["routes", "routes_usd", "asked others"],
  ["policy", "policy_usd", "the policy itself"],
  ["answer", "answer_usd", "the answer"],
  ["reserved", "reserved_usd", "reserved"],
  ["kept", "answer_reserve_usd", "kept for the answer"],
  ["left", "left_usd", "left"],
];

/** `gauge` as the API has it, at a step or at the end of a run. */
export function budgetGauge(gauge, label = "Budget") {
  if (!gauge) return null;
  const parts = PARTS.map(([name, field, words]) => ({ name, words, value: gauge[field] ?? 0 })).filter(
    (part) => part.value > 0,
  );
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  const said = parts.map((part) => `${usd(part.value)} ${part.words}`).join(", ") || "nothing spent";
  const limit =
    gauge.limit_usd === null || gauge.limit_usd === undefined
      ? " spent, no limit"
      : ` of ${usd(gauge.limit_usd)} spent`;
  return h(
    "section",
    { class: "gauge", "aria-label": label },
    h("p", { class: "gauge-head" }, h("strong", null, usd(gauge.spent_usd)), limit),
    parts.length
      ? h(
          "div",
          { class: "bar", role: "img", "aria-label": said },
          parts.map((part) => partOf(part, whole)),
        )
      : null,
    parts.length
      ? h(
          "ul",
          { class: "legend" },
          parts.map((part) => h("li", { class: part.name }, `${usd(part.value)} ${part.words}`)),
        )
      : null,
    h(
      "ul",
      { class: "limits" },
      others(gauge).map((text) => h("li", null, text)),
    ),
  );
}

/** As wide as its share: growth below 1 in sum would leave a part of the bar empty. */
function partOf({ name, words, value }, whole) {
  return h("span", {
    class: name,
    title: `${usd(value)} ${words}`,
    style: { "flex-grow": String((1000 * value) / whole) },
  });
}

function others({ steps, tokens, seconds: time }) {
  const told = [];
  if (steps) told.push(`${count(steps.taken)}${limited(steps.limit, count)} steps`);
  if (tokens) {
    const spent = (tokens.policy ?? 0) + (tokens.routes ?? 0);
    const own = tokens.policy ? `, the policy's own ${count(tokens.policy)}` : "";
    told.push(`${count(spent)}${limited(tokens.limit, count)} tokens${own}`);
  }
  if (time) told.push(`${seconds(time.spent)}${limited(time.limit, seconds)}`);
  return told;
}

function limited(limit, words) {
  return limit === null || limit === undefined ? "" : ` of ${words(limit)}`;
}
