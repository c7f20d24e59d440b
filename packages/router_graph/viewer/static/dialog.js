// A dialog with a title.

import { h, button } from "./dom.js";

/** It goes when it is closed, and the focus goes back to where it was. */
export function openDialog(title, ...children) {
  const close = button("Close", () => dialog.close(), { class: "plain" });
  const dialog = h(
    "dialog",
    {
      "aria-label": title,
      on: { close: () => dialog.remove(), click: (event) => event.target === dialog && dialog.close() },
    },
    h("div", { class: "sheet" }, h("header", null, h("h2", null, title), close), ...children),
  );
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
