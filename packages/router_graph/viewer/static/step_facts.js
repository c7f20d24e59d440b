// What a step comes to: sums and one-line tellings, for cards, the timeline and the panel.

import { CAME_OF, counted, firstLine } from "./format.js";

/** The key of an action's option, as in "kb:tables". */
export function keyOf(action) {
  if (action.kind !== "kb" && action.kind !== "llm") return action.kind;
  const target = action.target ?? action.kb ?? action.model ?? ""; // a shadow's actions are as the log has them
  return target.startsWith(`${action.kind}:`) ? target : `${action.kind}:${target}`;
}

/** What the step took, the policy's own and its routes': {usd, tokens}; routes go side by side, so the longest counts. */
export function takenBy(step) {
  const came = step.actions.map((action) => action.observation).filter(Boolean);
  const sum = (field) => came.reduce((total, one) => total + (one[field] ?? 0), step[field] ?? 0);
  const longest = Math.max(0, ...came.map((one) => one.seconds ?? 0));
  return { usd: sum("usd"), tokens: sum("tokens"), seconds: (step.seconds ?? 0) + longest };
}

/** The class of a step's colour: of its first action that asked, else what it did. */
export function kindOfStep(step) {
  const asked = step.actions.find((action) => action.kind === "kb" || action.kind === "llm");
  return asked?.kind ?? step.actions[0]?.kind ?? "malformed";
}

/** The chance with which this was done: the propensity, else the chosen option's probability; null if unknown, or if a
 * policy that scores no options had no choice but this. */
export function chanceOf(step) {
  const scored = (step.options ?? []).some((option) => typeof option.probability === "number");
  if (typeof step.propensity === "number") return step.propensity < 1 || scored ? step.propensity : null;
  const chosen = (step.options ?? []).filter((option) => option.chosen);
  return chosen.length === 1 ? chosen[0].probability : null;
}

/** Whether something is still on its way. */
export function isWaiting(step) {
  return step.actions.some((action) => (action.kind === "kb" || action.kind === "llm") && !action.observation);
}

/** What came of one action, in a line. */
export function cameBack(action) {
  const came = action.observation;
  if (action.kind === "answer" || action.kind === "note") return firstLine(action.text);
  if (action.kind === "malformed") return firstLine(action.text) || "A reply that is no action";
  if (!came) return "…";
  if (came.status !== "ok")
    return [CAME_OF[came.status] ?? came.status, firstLine(came.text)].filter(Boolean).join(": ");
  if (action.kind === "llm") return firstLine(came.text);
  const titles = came.hits.map((hit) => hit.title || hit.doc_id);
  return `${counted(came.hits.length, "document")}: ${titles.join(" · ")}`;
}

/** How many hits of the step the answer cites. */
export function citedIn(step) {
  return step.actions.flatMap((action) => action.observation?.hits ?? []).filter((hit) => hit.cited).length;
}

/** One number for a step's rewards: the sum of their values; null if there is none. */
export function rewardOf(rewards) {
  const values = (rewards ?? []).map((reward) => reward.value).filter((value) => typeof value === "number");
  return values.length ? values.reduce((total, value) => total + value, 0) : null;
}

/** Where a document was found: the number of the first step that has it, or null. */
export function stepOf(run, kb, docId) {
  const has = (hit) => hit.kb === kb && hit.doc_id === docId;
  return run.steps.find((step) => step.actions.some((action) => action.observation?.hits.some(has)))?.number ?? null;
}
