// Saved views: a filter and a sorting under a name, kept beside the log.

import { get, send } from "./api.js";
import { openDialog } from "./dialog.js";
import { h, button, fill } from "./dom.js";
import { problem } from "./problem.js";

/** A select that goes to a view, and buttons that save and delete one. `current()` gives {filter, sort}. */
export function viewsMenu({ current, onView }) {
  const select = h("select", { "aria-label": "Saved views", on: { change: chosen } });
  const save = button("Save view", ask, { class: "quiet" });
  const remove = button("Delete view", removed, { class: "quiet", hidden: true });
  let views = [];
  renew();
  return { element: h("div", { class: "views" }, select, save, remove), mark };

  async function renew() {
    const answer = await get("views").catch(() => []);
    views = Array.isArray(answer) ? answer : (answer.views ?? []);
    fill(
      select,
      h("option", { value: "" }, "Views"),
      views.map((one) => h("option", { value: one.name }, one.name)),
    );
    select.hidden = views.length === 0;
    mark();
  }

  /** Show which view this is, if it is one. */
  function mark() {
    const { filter, sort } = current();
    const found = views.find((one) => (one.filter ?? "") === filter && (one.sort ?? "-at") === sort);
    select.value = found?.name ?? "";
    remove.hidden = !found;
    save.hidden = Boolean(found);
  }

  function chosen() {
    const view = views.find((one) => one.name === select.value);
    if (view) onView({ filter: view.filter ?? "", sort: view.sort ?? "-at" });
  }

  function ask() {
    const name = h("input", { type: "text", required: true, maxlength: "60", autocomplete: "off" });
    const told = h("div");
    const form = h(
      "form",
      {
        on: {
          submit: async (event) => {
            event.preventDefault();
            try {
              await send("PUT", `views/${encodeURIComponent(name.value.trim())}`, {
                name: name.value.trim(),
                ...current(),
              });
              dialog.close();
              renew();
            } catch (error) {
              fill(told, problem(error));
            }
          },
        },
      },
      h("label", null, "Name", name),
      h(
        "p",
        { class: "hint" },
        "Filter: ",
        h("code", null, current().filter || "none"),
        ", sorted by ",
        h("code", null, current().sort),
      ),
      told,
      h("div", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Save")),
    );
    const dialog = openDialog("Save this view", form);
    name.focus();
  }

  async function removed() {
    await send("DELETE", `views/${encodeURIComponent(select.value)}`).catch(() => null);
    renew();
  }
}
