// Good, bad, or better would have been: labels of a step, given in place.

import { send } from "./api.js";
import { actionForm } from "./action_form.js";
import { openDialog } from "./dialog.js";
import { h, button, fill } from "./dom.js";
import { problem } from "./problem.js";
import { nameOf } from "./run_row.js";
import { keyOf } from "./step_facts.js";

const VERDICTS = [
  ["good", "Good", "g"],
  ["bad", "Bad", "b"],
  ["better", "Better …", "B"],
];

/** The buttons and what is labelled; `onChange` when the server took a label. */
export function labelBar(run, step, onChange) {
  const now = step.labels?.at(-1)?.verdict;
  const told = h("span");
  const buttons = VERDICTS.map(([verdict, words, key]) =>
    button(words, () => label(run, step, verdict, onChange, told), {
      class: `label ${verdict}`,
      "aria-pressed": String(now === verdict),
      title: `${words} (${key})`,
    }),
  );
  return h(
    "div",
    { class: "labels", role: "group", "aria-label": "Label this step" },
    buttons,
    told,
    (step.labels ?? []).map(labelLine),
  );
}

/** Give a label, or take it back where it is there already. "better" asks what would have been. */
export async function label(run, step, verdict, onChange, told = null) {
  const path = `runs/${encodeURIComponent(run.row.id)}/steps/${step.number}/label`;
  if (verdict === "better") return betterDialog(step, path, onChange);
  try {
    const now = step.labels?.at(-1)?.verdict;
    if (now === verdict) await send("DELETE", path);
    else await send("POST", path, { verdict, better: null, note: "" });
    onChange();
  } catch (error) {
    if (told) fill(told, problem(error));
    else openDialog("The label was not kept", problem(error));
  }
}

function betterDialog(step, path, onChange) {
  const form = actionForm(step, {
    submit: "Keep",
    noted: true,
    onSubmit: async (better, note) => {
      await send("POST", path, { verdict: "better", better, note });
      dialog.close();
      onChange();
    },
  });
  const dialog = openDialog(
    `Better at step ${step.number}`,
    h("p", { class: "hint" }, "What should it have done here? Training prefers it to what was done."),
    form,
  );
  form.querySelector("input:checked")?.focus();
}

function labelLine(one) {
  const better = one.better
    ? [
        ": ",
        h("span", null, nameOf(keyOf(one.better))),
        one.better.query ? [" ", h("q", null, one.better.query)] : null,
      ]
    : null;
  return h(
    "p",
    { class: "hint" },
    one.verdict,
    better,
    one.note ? ` – ${one.note}` : null,
    one.by ? ` (${one.by})` : null,
  );
}
