// What a step did, and what came back.

import { h } from "./dom.js";
import { CAME_OF, counted, count, seconds, usd } from "./format.js";
import { hitBox, passage } from "./hit.js";
import { numberOf } from "./options.js";
import { kindOf, nameOf } from "./run_row.js";
import { keyOf } from "./step_facts.js";

const DID = { kb: "Searched", llm: "Asked", answer: "Answered", note: "Noted", malformed: "Replied what is no action" };

/** One action with its words, and its observation. */
export function actionBox(action, options) {
  const key = keyOf(action);
  const number = numberOf(options, key);
  return h(
    "section",
    { class: `action ${kindOf(key)}`, "aria-label": `${DID[action.kind] ?? action.kind} ${nameOf(key)}` },
    h(
      "p",
      { class: "did" },
      DID[action.kind] ?? action.kind,
      action.kind === "kb" || action.kind === "llm"
        ? [" ", h("span", { class: `target ${kindOf(key)}`, title: key }, nameOf(key))]
        : null,
      number ? h("span", { class: "chip", title: "its number among the options" }, `option ${number}`) : null,
      action.k ? h("span", { class: "chip" }, counted(action.k, "document")) : null,
      action.linked ? h("span", { class: "chip" }, `among the links of ${action.linked}`) : null,
      action.evidence ? h("span", { class: "chip" }, "saw what was found") : null,
    ),
    action.query ? h("blockquote", { class: "query" }, action.query) : null,
    action.text && !action.query ? passage(action.text) : null,
    action.kind === "kb" || action.kind === "llm" ? observation(action) : null,
  );
}

function observation(action) {
  const came = action.observation;
  if (!came) return h("p", { class: "hint waiting" }, "Nothing came back yet.");
  const served = came.served && came.served !== keyOf(action) ? `${nameOf(came.served)} served in its place` : null;
  const facts = [
    CAME_OF[came.status] ?? came.status,
    served,
    usd(came.usd),
    came.tokens ? `${count(came.tokens)} tokens` : null,
    seconds(came.seconds),
  ];
  return [
    h("p", { class: `came ${came.status}` }, facts.filter(Boolean).join(" · ")),
    came.text ? passage(came.text) : null,
    (came.hits ?? []).map(hitBox),
  ];
}
