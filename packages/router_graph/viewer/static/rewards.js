// Rewards by component: small signed bars around zero.

import { h } from "./dom.js";
import { signed } from "./format.js";

/** A table of bars: of each reward its value, then its components. Null if there are none. */
export function rewardBars(rewards) {
  if (!rewards?.length) return null;
  const rows = rewards.flatMap((reward) => [
    { name: reward.name, title: reward.version, value: reward.value, whole: true },
    ...Object.entries(reward.components ?? {}).map(([name, value]) => ({ name, value, whole: false })),
  ]);
  const longest = Math.max(...rows.map((row) => Math.abs(row.value ?? 0)), 1e-9);
  return h(
    "table",
    { class: "rewards" },
    h("caption", { class: "spoken" }, "Rewards by component"),
    h(
      "tbody",
      null,
      rows.map((row) =>
        h(
          "tr",
          { class: row.whole ? "whole" : null },
          h("th", { scope: "row", title: row.title }, row.name),
          h("td", { class: "number" }, signed(row.value)),
          h(
            "td",
            { class: "axis", "aria-hidden": "true" },
            h("span", {
              class: row.value < 0 ? "minus" : "plus",
              style: { width: `${(50 * Math.abs(row.value ?? 0)) / longest}%` },
            }),
          ),
        ),
      ),
    ),
  );
}
