// Rows of a long answer of the server, fetched in pieces as they come into view.

import { get } from "./api.js";

const SIZE = 100;

/**
 * `path` with `query`, whose answer is {total, rows} under the name `field`. `onRows(what)` is called when pages came:
 * the answer itself. A failure goes to `onError`, and the piece is asked for again when it next comes into view.
 */
export class Pages {
  constructor({ path, query, field, onRows, onError }) {
    Object.assign(this, { path, query, field, onRows, onError });
    this.rows = new Map();
    this.total = null;
    this.asked = new Map();
    this.aborter = new AbortController();
  }

  at(index) {
    return this.rows.get(index);
  }

  /** The index of a row with this id, among those that are here; -1 if it is not. */
  indexOf(id) {
    for (const [index, row] of this.rows) if (row.id === id) return index;
    return -1;
  }

  /** See that the rows from `first` to before `last` are here, or on their way. */
  want(first, last) {
    if (this.total !== null && first >= this.total) return;
    for (let page = Math.floor(first / SIZE); page * SIZE < Math.max(last, 1); page++) this.load(page);
  }

  /** The same rows anew, as the log has grown. Resolves when they are here. */
  again(first, last) {
    this.asked.clear();
    const from = Math.floor(first / SIZE);
    const to = Math.max(from, Math.floor(Math.max(0, last - 1) / SIZE));
    const pages = Array.from({ length: to - from + 1 }, (_, n) => this.load(from + n, { stale: true }));
    return Promise.all(pages);
  }

  close() {
    this.aborter.abort();
  }

  load(page, { stale = false } = {}) {
    if (this.asked.has(page)) return this.asked.get(page);
    const loading = this.fetch(page, stale);
    this.asked.set(page, loading);
    return loading;
  }

  async fetch(page, stale) {
    try {
      const query = { ...this.query, offset: page * SIZE, limit: SIZE };
      const answer = await get(this.path, query, this.aborter.signal);
      if (stale && answer.total !== this.total) this.rows.clear(); // what lies elsewhere has moved
      answer[this.field].forEach((row, n) => this.rows.set(page * SIZE + n, row));
      this.total = answer.total;
      this.onRows(answer);
    } catch (error) {
      this.asked.delete(page);
      if (error.name !== "AbortError") this.onError(error);
    }
  }
}
