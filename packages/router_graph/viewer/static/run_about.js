// What a run was given: pictures, what was said before, settings, software, calls beside the steps.

import { h, isPicture } from "./dom.js";
import { factList } from "./facts.js";
import { count, exactly, firstLine, seconds, usd } from "./format.js";
import { contentOf } from "./prompt.js";
import { rewardBars } from "./rewards.js";

export function runAbout(run) {
  const settings = Object.entries(run.settings ?? {}).filter(([, value]) => !(Array.isArray(value) && !value.length));
  return h(
    "div",
    { class: "about-run" },
    h("p", { class: "hint wide-only" }, "Choose a step to see what it could do, what it did, and what came back."),
    part("Rewards", rewardBars(run.rewards)),
    part("Pictures of the question", pictures(run.images)),
    part("Said before", earlier(run.earlier)),
    part("Right answers", gold(run.gold)),
    part(
      "Of the run",
      factList([
        ["id", h("code", null, run.row.id)],
        ["thread", run.row.thread],
        ["question id", run.row.question_id !== run.row.question ? run.row.question_id : null],
        ["began", exactly(run.row.at)],
        ["protocol", run.row.protocol],
      ]),
    ),
    part("Settings", factList(settings)),
    part("Metadata", factList(Object.entries(run.metadata ?? {}))),
    part("Other models' calls", calls(run.calls)),
    part("Software", factList(Object.entries(run.software ?? {}))),
  );
}

function part(title, content) {
  return content ? h("section", null, h("h3", null, title), content) : null;
}

function pictures(images) {
  const shown = (images ?? []).filter(isPicture);
  return shown.length
    ? h(
        "div",
        { class: "picture" },
        shown.map((image, n) => h("img", { src: image, alt: `Picture ${n + 1} of the question` })),
      )
    : null;
}

function earlier(messages) {
  return messages?.length
    ? messages.map(([role, text]) =>
        h("div", { class: "message" }, h("h4", null, role), h("p", { class: "passage" }, text)),
      )
    : null;
}

function gold(known) {
  return known
    ? factList([
        ["answers", (known.answers ?? []).join(" | ")],
        ["documents", (known.documents ?? []).map((one) => (Array.isArray(one) ? one.join(":") : one)).join(", ")],
      ])
    : null;
}

function calls(all) {
  if (!all?.length) return null;
  return all.map((call) =>
    h(
      "details",
      { class: "prompt" },
      h("summary", null, `${call.model || call.node}: ${firstLine(call.reply).slice(0, 80) || call.error}`),
      factList([
        ["node", call.node],
        ["tokens", `${count(call.input_tokens)} in, ${count(call.output_tokens)} out`],
        ["took", seconds(call.seconds)],
        ["cost", typeof call.usd === "number" ? usd(call.usd) : null],
        ["error", call.error],
      ]),
      (call.prompt ?? []).map((message) =>
        h(
          "div",
          { class: "message" },
          h("h4", null, message.role),
          h("pre", { tabIndex: 0, "data-scrolls": "" }, contentOf(message)),
        ),
      ),
      h("div", { class: "message" }, h("h4", null, "reply"), h("pre", { tabIndex: 0, "data-scrolls": "" }, call.reply)),
    ),
  );
}
