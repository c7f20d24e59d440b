// The frame: what is always there, and which page is shown.

import { here, place } from "./address.js";
import { get, inlined } from "./api.js";
import { h, button, fill, spoken } from "./dom.js";
import { showHelp } from "./help.js";
import { listenTo, startKeys } from "./keys.js";
import { follow } from "./live.js";
import { askPage } from "./page_ask.js";
import { comparePage } from "./page_compare.js";
import { motePage } from "./page_mote.js";
import { runPage } from "./page_run.js";
import { runsPage } from "./page_runs.js";
import { versusPage } from "./page_versus.js";
import { problem } from "./problem.js";
import { isDark, startTheme, switchTheme } from "./theme.js";

const PAGES = {
  runs: runsPage,
  run: runPage,
  compare: comparePage,
  versus: versusPage,
  ask: askPage,
  mote: motePage,
};

const main = h("main", { id: "main", tabIndex: -1 });
const state = h("span", { class: "live", role: "status" });
let about = null;
let shown = null;

start();

async function start() {
  startTheme();
  startKeys();
  listenTo({
    "?": { help: "Show the keys", run: showHelp },
    d: { help: "Dark or light", run: () => switchTheme() },
  });
  try {
    about = await get("about");
  } catch (error) {
    fill(document.getElementById("app"), main);
    fill(
      main,
      problem(error, () => location.reload()),
    );
    return;
  }
  fill(document.getElementById("app"), header(), main);
  if (inlined && !location.hash) history.replaceState(null, "", place(["run", inlined.run.row.id]));
  window.addEventListener("popstate", show);
  show();
  if (!inlined) follow({ onChange: (change) => shown?.page.changed?.(change), onState: showState, onAbout: renew });
}

/** The page of the address; the same page only takes in what changed, so that it keeps its place. */
function show() {
  const at = here();
  const known = Object.hasOwn(PAGES, at.page) ? at.page : "runs"; // "constructor" is no page
  const name = known === "compare" && at.parts.length === 2 ? "versus" : known;
  const key = name === "run" ? `run/${at.parts[0]}` : name === "versus" ? `versus/${at.parts.join("/")}` : name;
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  if (shown?.key !== key) {
    shown?.page.close?.();
    shown?.quiet?.();
    const page = PAGES[name]({ about, renew });
    shown = { key, page, quiet: page.keys ? listenTo(page.keys) : null };
    fill(main, page.element);
    main.className = `page-${name}`;
  }
  shown.page.update(at);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === at.page || (link.dataset.page === "runs" && name.startsWith("run"))) {
      link.setAttribute("aria-current", "page");
    } else link.removeAttribute("aria-current");
  }
}

/** `about` anew, as there are new names or the index has grown. */
async function renew() {
  about = Object.assign(about, await get("about").catch(() => ({})));
  return about;
}

function header() {
  const pages = [
    ["runs", "Runs"],
    ["compare", "Compare"],
  ];
  if (about.can?.ask) pages.push(["ask", "Ask"]);
  if (about.mote?.length) pages.push(["mote", "Experts"]);
  const scheme = button("", () => switchTheme(), { class: "plain", title: "Dark or light (d)" });
  const mark = () => fill(scheme, spoken("Dark or light"), h("span", { "aria-hidden": "true" }, isDark() ? "☀" : "☾"));
  mark();
  window.addEventListener("scheme", mark);
  return h(
    "header",
    { class: "frame" },
    h("a", { class: "skip", href: "#main", on: { click: skip } }, "To the content"),
    h(
      "a",
      { class: "brand", href: inlined ? place(["run", inlined.run.row.id]) : "#/runs" },
      "polyroute",
      h("span", null, "runs"),
    ),
    inlined
      ? null
      : h(
          "nav",
          { "aria-label": "Pages" },
          pages.map(([page, name]) => h("a", { href: place([page]), "data-page": page }, name)),
        ),
    h("span", { class: "log", title: about.log }, inlined ? "an exported run" : about.log),
    state,
    scheme,
    button("?", showHelp, { class: "plain", title: "The keys (?)", "aria-label": "The keys" }),
  );
}

function skip(event) {
  event.preventDefault();
  main.focus();
}

/** One quiet word on whether the page follows the log. */
function showState(what) {
  const words = { live: "live", lost: "not live: the server is away" };
  state.dataset.state = what;
  fill(state, h("span", { class: "dot", "aria-hidden": "true" }), h("span", { class: "words" }, words[what]));
}
