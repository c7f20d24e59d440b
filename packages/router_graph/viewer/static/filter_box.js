// The search box: free words and terms over fields, with completion of their names and values.

import { h, button, fill } from "./dom.js";

const WAIT = 250;
const OPERATORS = [":", "=", "!=", "<", "<=", ">", ">="];

/** `fields`: [{name, of, help, values?}]; `onFilter(text)` when it has changed and rests. */
export function filterBox({ fields, onFilter, onLeave }) {
  const list = h("ul", {
    id: "completions",
    role: "listbox",
    class: "completions",
    hidden: true,
    "aria-label": "Completions",
  });
  const wrong = h("p", { id: "filter-error", class: "filter-error", role: "alert", hidden: true });
  const input = h("input", {
    type: "search",
    class: "filter",
    placeholder: "Search, or: status:failed step.kb:tables usd>0.01",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    role: "combobox",
    "aria-label": "Filter the runs",
    "aria-autocomplete": "list",
    "aria-controls": "completions",
    "aria-expanded": "false",
    "aria-describedby": "filter-error",
    on: { input: typed, keydown: pressed, blur: () => setTimeout(close, 150), click: suggest },
  });
  let choices = [];
  let active = -1;
  let timer = null;

  const help = h(
    "details",
    { class: "filter-help" },
    h("summary", { title: "What can be asked" }, "fields"),
    helpText(fields),
  );
  const element = h("div", { class: "filter-box", role: "search" }, input, help, list, wrong);
  return {
    element,
    input,
    set(text) {
      if (document.activeElement !== input || input.value.trim() !== text) input.value = text;
    },
    /** What the server says is wrong with it, in place; null takes it away. */
    fail(error) {
      wrong.hidden = !error;
      input.setAttribute("aria-invalid", error ? "true" : "false");
      if (error) fill(wrong, error.message, shownPlace(input.value, error));
    },
  };

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(apply, WAIT);
    suggest();
  }

  function apply() {
    clearTimeout(timer);
    onFilter(input.value.trim());
  }

  function pressed(event) {
    if (!list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      active = (active + (event.key === "ArrowDown" ? 1 : -1) + choices.length) % choices.length;
      show();
    } else if (!list.hidden && (event.key === "Tab" || event.key === "Enter") && active >= 0) {
      event.preventDefault();
      take(choices[active]);
    } else if (event.key === "Enter") {
      close();
      apply();
      onLeave();
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (list.hidden) onLeave();
      else close();
    } else if (event.key === "ArrowDown" && list.hidden) {
      event.preventDefault();
      onLeave();
    }
  }

  function suggest() {
    choices = completions(input.value.slice(0, input.selectionStart), fields);
    active = -1;
    show();
  }

  function show() {
    list.hidden = choices.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    fill(
      list,
      choices.map((choice, index) =>
        h(
          "li",
          {
            id: `completion-${index}`,
            role: "option",
            "aria-selected": String(index === active),
            on: {
              mousedown: (event) => {
                event.preventDefault();
                take(choice);
              },
            },
          },
          h("b", null, choice.text),
          h("span", null, choice.help),
        ),
      ),
    );
    if (active >= 0) input.setAttribute("aria-activedescendant", `completion-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function take(choice) {
    const { value, selectionStart } = input;
    const before = value.slice(0, selectionStart - choice.typed.length) + choice.text;
    input.value = before + value.slice(selectionStart);
    input.setSelectionRange(before.length, before.length);
    suggest();
    if (!choice.text.endsWith(":")) apply();
  }

  function close() {
    choices = [];
    show();
  }
}

/** What the word before the caret may become: [{text, typed, help}]. */
export function completions(before, fields) {
  const [, name, value] = /(?:^|[\s(])([a-z_.]+)(?:!=|<=|>=|[:=<>])"?([^\s"()]*)$/i.exec(before) ?? [];
  const field = name && fields.find((one) => one.name === name);
  if (field) {
    const matching = (field.values ?? []).map(String).filter((one) => one !== value && one.startsWith(value));
    return matching
      .slice(0, 12)
      .map((one) => ({ text: /[\s"()]/.test(one) ? `"${one}"` : one, typed: value, help: "" }));
  }
  const word = /(?:^|[\s(])([a-z_.]+)$/i.exec(before)?.[1];
  if (!word) return [];
  const starting = fields.filter((one) => one.name.startsWith(word) && one.name !== word);
  const holding = fields.filter((one) => one.name.includes(word) && !one.name.startsWith(word));
  const found = word.length > 1 ? [...starting, ...holding] : starting;
  return found.slice(0, 12).map((one) => ({ text: `${one.name}:`, typed: word, help: one.help }));
}

/** The filter with the wrong place marked, if the server told it. */
function shownPlace(text, { at, end }) {
  if (at === null || at === undefined || at >= text.length) return null;
  const to = end ?? text.length;
  return h("code", null, text.slice(0, at), h("mark", null, text.slice(at, to)), text.slice(to));
}

function helpText(fields) {
  const shown = (of) =>
    fields.filter((one) => one.of === of).map((one) => [h("dt", null, one.name), h("dd", null, one.help)]);
  return h(
    "div",
    { class: "filter-help-text", tabIndex: 0, "data-scrolls": "", role: "region", "aria-label": "The filter language" },
    h(
      "p",
      null,
      "Bare words search the question and the answer. ",
      h("code", null, "field OP value"),
      ", with OP one of ",
      OPERATORS.map((one) => [h("code", null, one), " "]),
      "; terms beside each other must all hold; ",
      h("code", null, "or"),
      ", ",
      h("code", null, "not"),
      " and parentheses work; quote what has spaces.",
    ),
    h(
      "p",
      null,
      h("code", null, "right=false usd>0.01"),
      " · ",
      h("code", null, "step.kb:tables not stop:answered"),
      " · ",
      h("code", null, '(policy:gate or policy:fanout) "moon"'),
    ),
    h("h3", null, "Of a run"),
    h("dl", null, shown("run")),
    h("h3", null, "Of any of its steps"),
    h("dl", null, shown("step")),
  );
}
