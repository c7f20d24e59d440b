// Another action at a step, and on from there.

import { go, place } from "./address.js";
import { send } from "./api.js";
import { actionForm } from "./action_form.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";

export function forkDialog(run, step, can) {
  if (!can.fork) {
    openDialog(
      "Fork this step",
      h(
        "p",
        null,
        "A fork goes on with somebody to ask. Start the viewer with your knowledge bases, as in ",
        h("code", null, "polyroute runs view -C FOLDER"),
        ", or with a settings file: ",
        h("code", null, "-c router.yaml"),
        ".",
      ),
    );
    return;
  }
  const before = step.number > 1 ? `The steps before ${step.number} come from the log and cost nothing. ` : "";
  const intro = h("p", { class: "hint" }, before + "What is chosen here is done, then the policy goes on.");
  const form = actionForm(step, {
    submit: "Fork and go on",
    onSubmit: async (action) => {
      const forked = await send("POST", `runs/${encodeURIComponent(run.row.id)}/fork`, { step: step.number, action });
      dialog.close();
      go(place(["run", forked.run, String(step.number)]));
    },
  });
  const dialog = openDialog(`Fork step ${step.number}`, intro, form);
  form.querySelector("input:checked")?.focus();
}
