// A run that waits for a person: what it wants to do, and yes or no.

import { send } from "./api.js";
import { h, button, fill } from "./dom.js";
import { usd } from "./format.js";
import { problem } from "./problem.js";
import { nameOf } from "./run_row.js";

/** One box for each thing that is asked; null if nothing is. `onReply` when the server took a reply. */
export function waitingBox(run, onReply) {
  return run.waiting?.length ? run.waiting.map((one) => box(run, one, onReply)) : null;
}

function box(run, one, onReply) {
  const told = h("div");
  const reply = async (approve) => {
    try {
      await send("POST", `runs/${encodeURIComponent(run.row.id)}/resume`, {
        approve,
        reason: "",
        interrupt: one.interrupt,
      });
      onReply();
    } catch (error) {
      fill(told, problem(error));
    }
  };
  return h(
    "div",
    { class: "notice waits", role: "alert" },
    h("p", null, ...(one.target ? wish(one) : [one.text ?? "It waits for a person."])),
    h(
      "div",
      { class: "actions" },
      button("Decline", () => reply(false)),
      button("Allow", () => reply(true), { class: "main" }),
    ),
    told,
  );
}

function wish({ target, query, usd_at_most: most }) {
  const cost = typeof most === "number" ? `, for at most ${usd(most)}` : "";
  return [
    "It wants to ask ",
    h("b", { title: target }, nameOf(target)),
    query ? [": ", h("q", null, query)] : null,
    `${cost}. May it?`,
  ];
}
