// The answer with its citations, each a link to where the document was found.

import { place } from "./address.js";
import { h } from "./dom.js";
import { stepOf } from "./step_facts.js";

/** The text, `[kb:doc_id]` as numbers, and the list of what they mean. */
export function answerBox(run) {
  const cited = run.citations.map((citation, index) => ({
    ...citation,
    number: index + 1,
    named: `${citation.kb}:${citation.doc_id}`,
    step: stepOf(run, citation.kb, citation.doc_id),
  }));
  const known = new Map(cited.map((one) => [`[${one.named}]`, one]));
  return h(
    "div",
    { class: "answer-box" },
    h(
      "p",
      { class: "answer-text" },
      pieces(run.row.answer ?? "", known).map((piece) => (typeof piece === "string" ? piece : mark(run, piece))),
    ),
    cited.length
      ? h(
          "ol",
          { class: "citations" },
          cited.map((one) =>
            h(
              "li",
              null,
              link(run, one, one.title || one.doc_id),
              h("span", { class: "hint" }, ` · ${one.kb}${one.step ? `, step ${one.step}` : ""}`),
            ),
          ),
        )
      : null,
  );
}

/** The text, cut where a known citation stands. */
export function pieces(text, known) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(/\[[^[\]]+\]/g)) {
    const one = known.get(match[0]);
    if (!one) continue;
    found.push(text.slice(from, match.index), one);
    from = match.index + match[0].length;
  }
  return [...found, text.slice(from)].filter((piece) => piece !== "");
}

function mark(run, one) {
  return h("sup", null, link(run, one, `[${one.number}]`, `${one.number}: ${one.title || one.named}`));
}

function link(run, one, text, label = null) {
  if (!one.step) return h("span", null, text);
  return h("a", { href: place(["run", run.row.id, String(one.step)], { hit: one.named }), "aria-label": label }, text);
}
