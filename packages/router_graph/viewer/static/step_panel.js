// One step, whole. Parts are drawn anew only where they changed, so that a live step keeps its place.

import { place } from "./address.js";
import { h, button, fill } from "./dom.js";
import { actionBox } from "./evidence.js";
import { factList } from "./facts.js";
import { forkDialog } from "./fork.js";
import { count, counted, exactly, forcedWords, seconds, share, usd } from "./format.js";
import { budgetGauge } from "./gauge.js";
import { labelBar } from "./labels.js";
import { optionTable } from "./options.js";
import { promptBox } from "./prompt.js";
import { rewardBars } from "./rewards.js";
import { nameOf } from "./run_row.js";
import { cameBack, keyOf } from "./step_facts.js";
import { swap } from "./swap.js";

/** `can`: what the server can do; `onLabel` when a label was kept; `fixed`: a file, where nothing can be done. */
export function stepPanel({ can, fixed, onLabel, onStep, onClose }) {
  const element = h("div", { class: "step-panel" });
  const parts = new Map();
  let shown = null;
  return { element, update };

  function update(run, step) {
    if (shown !== step.number) {
      parts.clear();
      fill(element);
    }
    shown = step.number;
    part("head", [step.number, run.steps.length], () => head(run, step));
    part("tools", [step.labels, step.number], () => (fixed ? null : tools(run, step)));
    part("thought", [step.thought, step.problem, step.forced, step.reply, step.actions.length], () => thought(step));
    part("options", step.options, () =>
      section(
        "Options",
        step.options.length
          ? optionTable(step.options)
          : h("p", { class: "hint" }, "The log has no menu of this step."),
      ),
    );
    part("did", [step.actions, step.options.length], () =>
      section(
        "What it did, and what came back",
        step.actions.map((action) => actionBox(action, step.options)),
        step.actions.length ? null : h("p", { class: "hint" }, "No action was read from its reply."),
      ),
    );
    part("rewards", step.rewards, () => section("Rewards", rewardBars(step.rewards)));
    part("shadow", step.shadow, () => section("The shadow would have", shadow(step)));
    part("budget", step.gauge, () =>
      section("Budget before this step", budgetGauge(step.gauge, "Budget before this step")),
    );
    part("facts", [step.replay_id, step.usd, step.propensity, step.left], () =>
      section("Of the decision", facts(step), reply(step)),
    );
    part("prompt", step.prompt, () => promptBox(step.prompt));
  }

  function part(name, data, draw) {
    const now = JSON.stringify(data ?? null);
    const before = parts.get(name);
    if (before?.now === now) return;
    const node = h("div", { class: `part part-${name}` }, draw());
    if (before) swap(before.node, node);
    else element.append(node);
    parts.set(name, { now, node });
  }

  function head(run, step) {
    const last = run.steps.length;
    return h(
      "header",
      { class: "panel-head" },
      h("h2", null, `Step ${step.number}`, h("span", { class: "of" }, ` of ${last}`)),
      button("‹", () => onStep(step.number - 1), {
        class: "plain",
        disabled: step.number <= 1,
        "aria-label": "Previous step",
        title: "Previous (k)",
      }),
      button("›", () => onStep(step.number + 1), {
        class: "plain",
        disabled: step.number >= last,
        "aria-label": "Next step",
        title: "Next (j)",
      }),
      h(
        "a",
        { class: "link", href: place(["run", run.row.id, String(step.number)]), title: "Link to this step" },
        "link",
      ),
      button("✕", onClose, { class: "plain", "aria-label": "Close the step", title: "Close (Esc)" }),
    );
  }

  function tools(run, step) {
    return [
      can.label ? labelBar(run, step, onLabel) : null,
      button("Fork …", () => forkDialog(run, step, can), {
        class: "fork",
        title: "Another action, and on from there (f)",
      }),
    ];
  }
}

function section(title, ...children) {
  const given = children.flat().filter(Boolean);
  return given.length ? h("section", null, h("h3", null, title), given) : null;
}

function thought(step) {
  return [
    step.forced ? h("p", { class: "notice" }, `Only an answer was legal: ${forcedWords(step.forced)}.`) : null,
    step.problem ? h("p", { class: "notice" }, step.problem) : null,
    step.thought
      ? h("blockquote", { class: "thought-text" }, step.thought)
      : h("p", { class: "hint" }, "It told no thought."),
  ];
}

function shadow({ shadow: other }) {
  if (!other) return null;
  const scores = Object.entries(other.probabilities ?? {}).sort(([, one], [, two]) => two - one);
  return [
    other.problem ? h("p", { class: "notice" }, other.problem) : null,
    (other.actions ?? []).map((action) =>
      h(
        "p",
        null,
        h("span", { class: `target ${action.kind}` }, nameOf(keyOf(action))),
        " ",
        action.query ? h("q", null, action.query) : cameBack(action),
      ),
    ),
    factList([
      ["policy", [other.policy, other.version].filter(Boolean).join(" ")],
      ["thought", other.thought],
      ["took", typeof other.usd === "number" ? usd(other.usd) : null],
      ["chances", scores.map(([key, p]) => `${key} ${share(p)}`).join(", ")],
    ]),
  ];
}

function facts(step) {
  const left = step.left ?? {};
  const told = [
    left.steps !== undefined ? counted(left.steps, "step") : null,
    typeof left.usd === "number" ? usd(left.usd) : null,
    typeof left.tokens === "number" ? `${count(left.tokens)} tokens` : null,
    typeof left.seconds === "number" ? seconds(left.seconds) : null,
  ];
  return factList([
    ["policy", [step.policy, step.version].filter(Boolean).join(" ")],
    ["protocol", step.protocol],
    ["served by", step.served],
    ["its model", step.call?.model],
    ["its tokens", step.call ? `${count(step.call.input_tokens)} in, ${count(step.call.output_tokens)} out` : null],
    ["sampling", step.call && Object.keys(step.call.sampling ?? {}).length ? step.call.sampling : null],
    [
      "propensity",
      typeof step.propensity === "number" ? `${share(step.propensity)} (${step.propensity})` : "not known",
    ],
    ["it took", `${usd(step.usd)}, ${count(step.tokens)} tokens, ${seconds(step.seconds)}`],
    ["left before", told.filter(Boolean).join(", ")],
    ["at", step.at ? exactly(step.at) : null],
    ["replay id", step.replay_id ? h("code", null, step.replay_id) : null],
  ]);
}

function reply(step) {
  return step.reply
    ? h(
        "details",
        { class: "prompt" },
        h("summary", null, "Reply, as it stands"),
        h("pre", { tabIndex: 0, "data-scrolls": "" }, step.reply),
      )
    : null;
}
