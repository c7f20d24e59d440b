// Every option of a step: its chance, its price, and why it could not be chosen.

import { h, spoken } from "./dom.js";
import { NOTHING, share, usd } from "./format.js";
import { kindOf, nameOf } from "./run_row.js";

/** A table; the numbers are those that `asked` shows again where an option was called. */
export function optionTable(options) {
  const scored = options.some((option) => option.probability !== null && option.probability !== undefined);
  return h(
    "table",
    { class: scored ? "options" : "options unscored" },
    h("caption", { class: "spoken" }, "Options of this step"),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        ["No.", "Option", "Chance", "Price"].map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h(
      "tbody",
      null,
      options.map((option, index) => row(option, index + 1, scored)),
    ),
  );
}

/** The number of an option by its key, as the table counts them; null if it is not among them. */
export function numberOf(options, key) {
  const index = options.findIndex((option) => option.key === key);
  return index < 0 ? null : index + 1;
}

function row(option, number, scored) {
  const masked = option.masked !== null && option.masked !== undefined;
  const chance = option.probability;
  return h(
    "tr",
    { class: [masked ? "masked" : "", option.chosen ? "chosen" : ""].join(" ").trim() || null },
    h(
      "td",
      { class: "no" },
      number,
      option.chosen ? [h("span", { "aria-hidden": "true" }, " ◂"), spoken(" chosen")] : null,
    ),
    h(
      "td",
      null,
      h("span", { class: `target ${masked ? "other" : kindOf(option.key)}`, title: option.key }, nameOf(option.key)),
      option.modality && option.modality !== "text" ? h("span", { class: "chip" }, option.modality) : null,
      masked
        ? h("span", { class: "reason" }, spoken("not legal: "), option.masked)
        : h("span", { class: "about" }, option.description),
    ),
    h(
      "td",
      { class: "chance" },
      masked
        ? NOTHING
        : [
            h(
              "span",
              { class: "number", title: typeof chance === "number" ? String(chance) : "this policy scores no options" },
              scored ? share(chance) : NOTHING,
            ),
            scored
              ? h(
                  "span",
                  { class: "track", "aria-hidden": "true" },
                  h("span", { style: { width: `${100 * (chance ?? 0)}%` } }),
                )
              : null,
          ],
    ),
    h("td", { class: "number" }, usd(option.usd)),
  );
}
