// The experts of a profile: layers × experts, how far each is used, and which are masked.

import { go, place } from "./address.js";
import { get } from "./api.js";
import { h, fill } from "./dom.js";
import { heatmap } from "./heatmap.js";
import { problem } from "./problem.js";

export function motePage({ about }) {
  const names = about.mote ?? [];
  const select = h(
    "select",
    { "aria-label": "Profile", on: { change: () => go(place(["mote", select.value]), { replace: true }) } },
    names.map((name) => h("option", { value: name }, name)),
  );
  const holder = h("div");
  const element = h(
    "div",
    { class: "page mote-page" },
    h("h1", null, "Experts"),
    h("div", { class: "tools" }, h("label", { class: "chooser" }, h("span", null, "Profile"), select)),
    holder,
  );
  let map = null;
  let asked = 0;
  return {
    element,
    keys: { Escape: { help: "Back to the runs", run: () => go("#/runs") } },
    async update({ parts }) {
      document.title = "Experts – Polyroute";
      const name = parts[0] ?? names[0];
      const mine = ++asked;
      map?.close();
      map = null;
      if (!name) {
        fill(
          holder,
          h(
            "div",
            { class: "empty-state" },
            h("p", null, "No profile of a mixture of experts is here. Make one:"),
            h("pre", { tabIndex: 0, "data-scrolls": "" }, "polyroute mote find --help"),
          ),
        );
        return;
      }
      select.value = name;
      try {
        const profile = await get(`mote/${encodeURIComponent(name)}`);
        if (mine !== asked) return;
        map = heatmap(profile);
        fill(holder, map.element);
      } catch (error) {
        if (mine === asked)
          fill(
            holder,
            problem(error, () => this.update({ parts })),
          );
      }
    },
    close: () => map?.close(),
  };
}
