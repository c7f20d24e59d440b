// A long list of which only the part in view is drawn: rows of one height, each at its place by a transform.

const OVERSCAN = 8;

/**
 * `scroller` scrolls, `body` lies in it and holds the rows; `draw(index)` makes a row's element. The row's height is
 * the CSS variable --row of the body, so that a narrow screen may have higher rows. One row, `active`, is always drawn:
 * `aria-activedescendant` names it.
 */
export class LongList {
  constructor({ scroller, body, draw, onView = () => {} }) {
    Object.assign(this, { scroller, body, draw, onView, count: 0, active: -1, rows: new Map(), height: 0 });
    this.body.style.position = "relative";
    this.scroller.addEventListener("scroll", () => this.soon(), { passive: true });
    this.observer = new ResizeObserver(() => this.soon());
    this.observer.observe(scroller);
  }

  /** How many rows there are. Rows that are drawn stay; `redraw` makes them anew. */
  resize(count) {
    this.count = count;
    for (const index of this.rows.keys()) if (index >= count) this.drop(index);
    this.draws();
  }

  /** Draw rows anew: these indices, or all in view. */
  redraw(indices = [...this.rows.keys()]) {
    for (const index of indices) if (this.rows.has(index)) this.drop(index);
    this.draws();
  }

  /** Mark a row as the active one, and bring it into view. */
  activate(index, { scroll = true } = {}) {
    this.active = index;
    if (scroll && index >= 0) this.reveal(index);
    this.draws();
  }

  reveal(index) {
    const height = this.rowHeight();
    const top = this.offset() + index * height;
    const header = parseFloat(getComputedStyle(this.scroller).scrollPaddingTop) || 0;
    const { scrollTop, clientHeight } = this.scroller;
    if (top - header < scrollTop) this.scroller.scrollTop = top - header;
    else if (top + height > scrollTop + clientHeight) this.scroller.scrollTop = top + height - clientHeight;
  }

  /** The indices in view: [first, last], last excluded. */
  view() {
    const height = this.rowHeight();
    const from = (this.scroller.scrollTop - this.offset()) / height;
    const shown = this.scroller.clientHeight / height;
    return [Math.max(0, Math.floor(from)), Math.max(0, Math.min(this.count, Math.ceil(from + shown)))];
  }

  close() {
    this.observer.disconnect();
  }

  soon() {
    if (this.planned) return;
    this.planned = requestAnimationFrame(() => {
      this.planned = null;
      this.draws();
    });
  }

  draws() {
    const height = this.rowHeight();
    if (height !== this.height) {
      this.height = height;
      for (const [index, row] of this.rows) this.put(index, row);
    }
    this.body.style.height = `${this.count * height}px`;
    const [first, last] = this.view();
    const from = Math.max(0, first - OVERSCAN);
    const to = Math.min(this.count, last + OVERSCAN);
    for (const index of this.rows.keys()) if ((index < from || index >= to) && index !== this.active) this.drop(index);
    for (let index = from; index < to; index++) this.show(index);
    if (this.active >= 0 && this.active < this.count) this.show(this.active);
    this.onView(first, last);
  }

  show(index) {
    if (this.rows.has(index)) return;
    const row = this.draw(index);
    this.put(index, row);
    this.rows.set(index, row);
    const next = [...this.rows.keys()].filter((one) => one > index).sort((a, b) => a - b)[0];
    this.body.insertBefore(row, next === undefined ? null : this.rows.get(next)); // in order, for screen readers
  }

  put(index, row) {
    row.style.transform = `translateY(${index * this.height}px)`;
  }

  drop(index) {
    this.rows.get(index).remove();
    this.rows.delete(index);
  }

  rowHeight() {
    return parseFloat(getComputedStyle(this.body).getPropertyValue("--row")) || 40;
  }

  /** Where the body begins inside of the scroller's content. */
  offset() {
    const { top } = this.body.getBoundingClientRect();
    return top - this.scroller.getBoundingClientRect().top + this.scroller.scrollTop;
  }
}
