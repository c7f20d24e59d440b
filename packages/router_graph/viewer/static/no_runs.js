// What stands where no run is to be seen, and what to do about it.

import { h, button } from "./dom.js";

export function noRuns({ about, filter, indexing, onClear }) {
  if (filter) return said(h("p", null, "No run matches this filter."), button("Clear the filter", onClear));
  if (indexing) return said(h("p", null, "The log is being read; runs appear here as they are found."));
  const command = about.record ?? `polyroute ask --record ${about.log} "Which moon has an ocean?"`;
  return said(
    h("p", null, "No run is recorded here yet. Record one, and it appears on this page:"),
    h("pre", { tabIndex: 0, "data-scrolls": "" }, command),
    button("Copy", () => navigator.clipboard?.writeText(command)),
  );
}

function said(...children) {
  return h("div", { class: "empty-state" }, ...children);
}
