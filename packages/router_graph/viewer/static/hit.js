// One document that was found: a passage, a table or a picture.

import { pictureAddress } from "./api.js";
import { h, button, fill, isPicture } from "./dom.js";

const LONG = 600;

export function hitBox(hit) {
  const named = `${hit.kb}:${hit.doc_id}`;
  const more = Object.entries(hit.metadata ?? {}).filter(([, value]) => value !== null && value !== "");
  return h(
    "article",
    { class: `hit${hit.cited ? " is-cited" : ""}`, "data-hit": named, tabIndex: -1 },
    h(
      "header",
      null,
      h("strong", null, hit.title || hit.doc_id),
      hit.cited ? h("span", { class: "chip cited" }, "cited") : null,
      h("code", null, named),
      h("span", { class: "score", title: "score of the search" }, Number(hit.score).toPrecision(3)),
    ),
    hit.image ? picture(hit) : null,
    hit.table ? tableOf(hit) : hit.text ? passage(hit.text) : null,
    more.length
      ? h(
          "details",
          { class: "metadata" },
          h("summary", null, "metadata"),
          h(
            "dl",
            null,
            more.map(([key, value]) => [h("dt", null, key), h("dd", null, shown(value))]),
          ),
        )
      : null,
  );
}

/** Text that is cut where it is long, with a button for the rest. */
export function passage(text) {
  if (text.length <= LONG * 1.3) return h("p", { class: "passage" }, text);
  const cut = text.slice(0, LONG).replace(/\s\S*$/, "");
  const body = h("p", { class: "passage" }, `${cut} …`);
  const rest = button(
    `all ${text.length.toLocaleString("en")} characters`,
    () => {
      fill(body, text);
      rest.remove();
    },
    { class: "quiet" },
  );
  return h("div", null, body, rest);
}

function tableOf(hit) {
  const { header, rows } = hit.table;
  const numbers = header.map(
    (_, n) => rows.length > 0 && rows.every((row) => isNumber(row[n] ?? "") || !String(row[n] ?? "").trim()),
  );
  return h(
    "div",
    {
      class: "sheet-scroll",
      tabIndex: 0,
      role: "region",
      "data-scrolls": "",
      "aria-label": `Table ${hit.title || hit.doc_id}`,
    },
    h(
      "table",
      { class: "sheet" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          header.map((cell, n) => h("th", { scope: "col", class: numbers[n] ? "number" : null }, cell)),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map((row) =>
          h(
            "tr",
            null,
            row.map((cell, n) => h("td", { class: numbers[n] ? "number" : null }, cell)),
          ),
        ),
      ),
    ),
  );
}

function picture(hit) {
  const holder = h("div", { class: "picture" });
  const failed = () => fill(holder, h("p", { class: "hint" }, "The picture is not there any more."));
  const show = (address) => {
    if (!isPicture(address)) return failed();
    fill(holder, h("img", { src: address, alt: hit.title || hit.text || hit.doc_id, on: { error: failed } }));
  };
  if (hit.image.startsWith("data:")) show(hit.image);
  else pictureAddress(hit.image).then(show, failed);
  return holder;
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isNumber(cell) {
  return /^[-+−]?[$€£]?[\d,. ]+%?$/.test(String(cell).trim());
}
