// The table of runs: search, sorting, views; as long as the log is.

import { go, place } from "./address.js";
import { h, fill } from "./dom.js";
import { filterBox } from "./filter_box.js";
import { counted } from "./format.js";
import { noRuns } from "./no_runs.js";
import { Pages } from "./pages.js";
import { problem } from "./problem.js";
import { COLUMNS } from "./run_row.js";
import { sortSelect } from "./sorting.js";
import { viewsMenu } from "./views_menu.js";
import { LongList } from "./virtual.js";

const NEWEST = "-at";
const remembered = { hash: null, top: 0, active: null };

export function runsPage({ about }) {
  const box = filterBox({
    fields: about.fields ?? [],
    onFilter: (filter) => address({ filter }),
    onLeave: () => grid.focus(),
  });
  const views = viewsMenu({ current: () => asked, onView: address });
  const told = h("p", { class: "told", role: "status" });
  const sorting = sortSelect((sort) => address({ sort }));
  const heading = h("div", { role: "row", class: "heading row", "aria-rowindex": 1 });
  const body = h("div", { role: "rowgroup", class: "rows" });
  const grid = h(
    "div",
    { role: "grid", class: "runs grid", tabIndex: 0, "aria-label": "Recorded runs" },
    h("div", { role: "rowgroup", class: "headings" }, heading),
    body,
  );
  const below = h("div", { class: "below" });
  const element = h(
    "div",
    { class: "page" },
    h("h1", { class: "spoken" }, "Runs"),
    h("div", { class: "tools" }, box.element, views.element, sorting, told),
    grid,
    below,
  );
  const list = new LongList({
    scroller: grid,
    body,
    draw,
    onView: (first, last) => pages?.want(first, Math.max(last, 1)),
  });

  let asked = { filter: "", sort: NEWEST };
  let pages = null;
  let active = { index: 0, id: null };
  let indexing = about.indexing;

  return {
    element,
    keys: {
      j: { help: "Next", run: () => activate(active.index + 1) },
      k: { help: "Previous", run: () => activate(active.index - 1) },
      Enter: { help: "Open", run: () => open(active.index) },
      "/": { help: "Search", run: () => box.input.focus() },
      Escape: { help: "Clear the search", run: () => address({ filter: "" }) },
      c: { help: "Compare policies", run: () => go(place(["compare"])) },
      Home: { help: "First run", run: () => activate(0) },
      End: { help: "Last run", run: () => activate((pages.total ?? 1) - 1) },
      PageDown: { help: "A page down", run: () => activate(active.index + pageOf()) },
      PageUp: { help: "A page up", run: () => activate(active.index - pageOf()) },
    },
    update({ query }) {
      asked = { filter: query.get("filter") ?? "", sort: query.get("sort") ?? NEWEST };
      box.set(asked.filter);
      sorting.querySelector("select").value = asked.sort;
      document.title = "Runs – Polyroute";
      fill(heading, COLUMNS.map(headingCell));
      views.mark();
      restart();
    },
    changed,
    close() {
      Object.assign(remembered, { hash: place(["runs"], shownQuery()), top: grid.scrollTop, active: { ...active } });
      pages?.close();
      list.close();
    },
  };

  function address(change) {
    const next = { ...asked, ...change };
    go(place(["runs"], { filter: next.filter, sort: next.sort === NEWEST ? "" : next.sort }), {
      replace: "filter" in change && !("sort" in change),
    });
  }

  function shownQuery() {
    return { filter: asked.filter, sort: asked.sort === NEWEST ? "" : asked.sort };
  }

  /** From the top, or from where one was when one left this very list. */
  function restart() {
    const back = remembered.hash === place(["runs"], shownQuery()) ? { ...remembered } : null;
    remembered.hash = null;
    pages?.close();
    active = back?.active ?? { index: 0, id: null };
    const mine = new Pages({
      path: "runs",
      query: { filter: asked.filter, sort: asked.sort },
      field: "runs",
      onRows: (answer) => {
        if (mine !== pages) return;
        indexing = answer.indexing;
        box.fail(null);
        took();
      },
      onError: (error) => {
        if (mine !== pages) return;
        if (error.status === 400) box.fail(error);
        else fill(below, problem(error, restart));
      },
    });
    const first = pages === null;
    pages = mine;
    mine.load(0).then(() => {
      if (mine !== pages || mine.total === null) return;
      list.redraw();
      grid.scrollTop = back?.top ?? 0;
      list.draws();
      if (first && document.activeElement === document.body) grid.focus({ preventScroll: true });
    });
  }

  function took() {
    list.resize(pages.total);
    list.redraw();
    grid.setAttribute("aria-rowcount", String(pages.total + 1));
    const found = active.index > 0 ? pages.indexOf(active.id) : -1; // who is at the top stays at the top
    activate(found >= 0 ? found : active.index, { scroll: false });
    tell();
    fill(
      below,
      pages.total ? null : noRuns({ about, filter: asked.filter, indexing, onClear: () => address({ filter: "" }) }),
    );
    grid.classList.toggle("empty", pages.total === 0);
  }

  function tell() {
    const damaged = about.damaged ? `, ${counted(about.damaged, "damaged line")} left out` : "";
    const share = indexing ? `, ${Math.round(indexing.share * 100)} % of the log is indexed` : "";
    const match = asked.filter ? ` match${pages.total === 1 ? "es" : ""}` : "";
    fill(told, `${counted(pages.total, "run")}${match}${damaged}${share}`, about.problem ? `. ${about.problem}` : null);
  }

  /** The log grew: what is in view anew, and one stays where one was. */
  async function changed({ runs, indexing: share }) {
    if (share !== undefined) indexing = share;
    if (pages.total === null) return void (runs === null && restart()); // else it is on its way
    if (runs?.length === 0) return void tell();
    const before = pages.total;
    const [first, last] = list.view();
    await pages.again(first, last);
    const more = pages.total - before;
    if (more > 0 && asked.sort === NEWEST && grid.scrollTop > 0) grid.scrollTop += more * list.height;
  }

  function activate(index, options) {
    const to = Math.max(0, Math.min(index, (pages.total ?? 0) - 1));
    const from = active.index;
    active = { index: to, id: pages.at(to)?.id ?? null };
    list.activate(to, options);
    list.redraw([from, to]);
    if (pages.total) grid.setAttribute("aria-activedescendant", `row-${to}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  function open(index) {
    const run = pages.at(index);
    if (run) go(place(["run", run.id]));
  }

  function pageOf() {
    const [first, last] = list.view();
    return Math.max(1, last - first - 2);
  }

  function draw(index) {
    const run = pages.at(index);
    const props = {
      role: "row",
      id: `row-${index}`,
      class: `row${index === active.index ? " active" : ""}`,
      "aria-rowindex": index + 2,
    };
    if (!run) return h("div", { ...props, class: "row waiting" }, h("span", { role: "gridcell" }, "…"));
    const cells = COLUMNS.map((column) => h("span", { role: "gridcell", class: column.class }, column.cell(run)));
    return h("div", { ...props, on: { click: (event) => picked(event, index) } }, cells);
  }

  function picked(event, index) {
    if (event.target.closest("a") && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    activate(index, { scroll: false });
    open(index);
  }

  function headingCell(column) {
    const sorted = asked.sort.replace(/^-/, "") === column.sort;
    const down = asked.sort.startsWith("-");
    const direction = sorted ? (down ? "descending" : "ascending") : null;
    const next = sorted && down ? column.sort : `-${column.sort}`;
    const arrow = h("span", { "aria-hidden": "true" }, sorted ? (down ? " ↓" : " ↑") : "");
    return h(
      "span",
      { role: "columnheader", class: column.class, title: column.hint, "aria-sort": direction },
      column.sort
        ? h(
            "button",
            { type: "button", class: "plain", on: { click: () => address({ sort: next }) } },
            column.heading,
            arrow,
          )
        : h("span", null, column.heading),
    );
  }
}
