// A question, right there; its run is shown as it goes.

import { go, place } from "./address.js";
import { send } from "./api.js";
import { h, fill } from "./dom.js";
import { problem } from "./problem.js";
import { contextForm } from "./context_form.js";

export function askPage({ about }) {
  const question = h("textarea", {
    id: "question",
    rows: "3",
    required: true,
    value: "",
    "aria-describedby": "ask-hint",
  });
  const told = h("div");
  const router = about.router;
  const settings = router ? contextForm(router) : null;
  const start = h("button", { type: "submit", class: "main" }, "Ask");
  const form = h(
    "form",
    { class: "ask", on: { submit: asked } },
    h("h1", null, "Ask"),
    h("label", { for: "question" }, "Question"),
    question,
    h("p", { id: "ask-hint", class: "hint" }, "Ctrl + Enter asks. The run is recorded into this log."),
    told,
    h("div", { class: "actions" }, start),
    settings?.element,
  );
  const nobody = h(
    "div",
    { class: "empty-state" },
    h("p", null, "Asking takes somebody to ask. Start the viewer with your knowledge bases, or with a settings file:"),
    h("pre", { tabIndex: 0, "data-scrolls": "" }, "polyroute runs view -C FOLDER\npolyroute runs view -c router.yaml"),
  );
  const element = h(
    "div",
    { class: "page form-page" },
    router && about.can?.ask ? form : [h("h1", null, "Ask"), nobody],
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    if (event.key === "Escape") event.target.blur();
  });
  return {
    element,
    keys: {
      Escape: { help: "Back to the runs", run: () => go("#/runs") },
      "/": { help: "To the question", run: () => question.focus() },
    },
    update() {
      document.title = "Ask – Polyroute";
      question.focus();
    },
  };

  async function asked(event) {
    event.preventDefault();
    if (!question.value.trim()) return question.focus();
    start.disabled = true;
    fill(told);
    try {
      const answer = await send("POST", "ask", { question: question.value.trim(), context: settings.values() });
      go(place(["run", answer.run]));
    } catch (error) {
      fill(told, problem(error));
    } finally {
      start.disabled = false;
    }
  }
}
