// The form that chooses an action of a step: for a fork, and for "better would have been".

import { h, fill } from "./dom.js";
import { share, usd } from "./format.js";
import { problem } from "./problem.js";
import { kindOf, nameOf } from "./run_row.js";
import { keyOf } from "./step_facts.js";

/**
 * `onSubmit(action, note)` with the action as the API takes it; what it throws is shown in place. `noted` asks for a
 * note too. Options that were masked can be seen, with their reason, and not chosen.
 */
export function actionForm(step, { submit, noted = false, onSubmit }) {
  const asked = step.actions.find((action) => action.query);
  const before = step.actions[0] ? keyOf(step.actions[0]) : "";
  const legal = step.options.filter((option) => option.masked === null || option.masked === undefined);
  const start = legal.find((option) => option.key !== before) ?? legal[0];
  const query = h("textarea", { rows: "2", required: true, value: asked?.query ?? "" });
  const text = h("textarea", { rows: "3", value: "" });
  const k = h("input", { type: "number", min: "1", max: "100", value: asked?.k ? String(asked.k) : "" });
  const note = h("textarea", { rows: "2", value: "" });
  const words = h("label", null, "With these words", query);
  const many = h("label", { class: "short" }, "Documents (as set, if empty)", k);
  const answer = h("label", null, "The answer (empty: from what was found)", text);
  const told = h("div");
  const go = h("button", { type: "submit", class: "main", disabled: legal.length === 0 }, submit);
  const form = h(
    "form",
    { class: "action-form", on: { submit: submitted, change: fit } },
    h(
      "fieldset",
      null,
      h("legend", null, "Option"),
      step.options.map((option) => choice(option, option === start, option.key === before)),
    ),
    words,
    many,
    answer,
    noted ? h("label", null, "Note", note) : null,
    told,
    h("div", { class: "actions" }, go),
  );
  fit();
  return form;

  function chosen() {
    return form.querySelector("input[type=radio]:checked")?.value ?? "";
  }

  function fit() {
    const kind = kindOf(chosen());
    words.hidden = kind === "answer";
    query.required = kind !== "answer";
    many.hidden = kind !== "kb";
    answer.hidden = kind !== "answer";
  }

  async function submitted(event) {
    event.preventDefault();
    const key = chosen();
    const kind = kindOf(key);
    const action = kind === "answer" ? { kind, text: text.value } : { kind, target: key, query: query.value.trim() };
    if (kind === "kb" && k.value) action.k = Number(k.value);
    go.disabled = true;
    try {
      await onSubmit(action, note.value.trim());
    } catch (error) {
      fill(told, problem(error));
    } finally {
      go.disabled = false;
    }
  }
}

function choice(option, checked, taken) {
  const masked = option.masked !== null && option.masked !== undefined;
  return h(
    "label",
    { class: `choice${masked ? " masked" : ""}` },
    h("input", { type: "radio", name: "option", value: option.key, checked, disabled: masked }),
    h("span", { class: `target ${masked ? "other" : kindOf(option.key)}` }, nameOf(option.key)),
    taken ? h("span", { class: "chip" }, "was taken") : null,
    h(
      "span",
      { class: "reason" },
      masked
        ? option.masked
        : [
            typeof option.probability === "number" ? share(option.probability) : null,
            option.usd ? usd(option.usd) : null,
          ]
            .filter(Boolean)
            .join(" · "),
    ),
  );
}
