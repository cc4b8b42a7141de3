/** A table whose rows stay the same elements while what they say changes: the focus stays, too. */

import { enable, h, say } from "../base/dom";
import type { Page } from "./account-api";

export interface Column<T> {
  title: string;
  /** A class of its cells. */
  kind?: string;
  /** Its title is not seen. */
  silent?: boolean;
  /** Fills a cell: with a text, or as it likes. */
  show(item: T, cell: HTMLElement): string | void;
}

export class Table<T extends object> {
  readonly element: HTMLElement;
  private readonly body = h("tbody");
  private readonly rows = new Map<string, HTMLTableRowElement>();
  private readonly none: HTMLElement;
  private readonly range = h("span", { class: "range" });
  private readonly before: HTMLButtonElement;
  private readonly after: HTMLButtonElement;
  private readonly table: HTMLTableElement;
  private readonly pager: HTMLElement;
  private page: Page<T> | null = null;

  /** `name`: what is in it, in lower case and the plural. `keyOf` names an item. */
  constructor(
    private readonly name: string, private readonly columns: Column<T>[],
    private readonly keyOf: (item: T) => string, go: (offset: number) => void,
  ) {
    const turn = (text: string, label: string, step: 1 | -1): HTMLButtonElement =>
      h("button", { type: "button", class: "chip", "aria-label": `${label} page of ${name}`, click: () => {
        const { offset, limit } = this.page!.pagination;
        go(Math.max(0, offset + step * limit));
      } }, text);
    this.before = turn("Newer", "Newer", -1);
    this.after = turn("Older", "Older", 1);
    this.none = h("p", { class: "none" });
    this.table = h("table", { "aria-label": name },
      h("thead", {}, h("tr", {}, ...columns.map(({ title, kind, silent }) =>
        h("th", { scope: "col", class: kind ?? "" }, h("span", { class: silent ? "hidden" : "" }, title))))),
      this.body);
    this.pager = h("div", { class: "pager" }, this.range, this.before, this.after);
    this.element = h("div", { class: "paged" }, this.table, this.none, this.pager);
  }

  update(page: Page<T> | null): void {
    this.page = page;
    const items = page?.items ?? [];
    this.table.hidden = items.length === 0;
    this.none.hidden = items.length > 0;
    say(this.none, page === null ? "Loading …" : `No ${this.name}.`);
    this.fill(items);
    const { total = 0, offset = 0, limit = 1, hasMore = false } = page?.pagination ?? {};
    this.pager.hidden = total <= limit && offset === 0;
    say(this.range, total > 0 ? `${offset + 1}–${offset + items.length} of ${total}` : "");
    enable(this.before, offset > 0, this.after);
    enable(this.after, hasMore, this.before);
  }

  private fill(items: T[]): void {
    const keys = new Set(items.map(this.keyOf));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    items.forEach((item, place) => {
      const row = this.rowOf(this.keyOf(item));
      const there = this.body.children[place];
      if (there !== row) this.body.insertBefore(row, there ?? null);
      this.columns.forEach(({ show }, at) => {
        const cell = row.cells[at]!;
        const text = show(item, cell);
        if (text !== undefined) say(cell, text);
      });
    });
  }

  private rowOf(key: string): HTMLTableRowElement {
    let row = this.rows.get(key);
    if (row === undefined) {
      row = h("tr", { "data-id": key }, ...this.columns.map(({ title, kind }) =>
        h("td", { class: kind ?? "", "data-title": title })));
      this.rows.set(key, row);
    }
    return row;
  }
}

/** A cell's only element, made when the cell is first filled. */
export function only<E extends HTMLElement>(cell: HTMLElement, make: () => E): E {
  if (cell.firstElementChild === null) cell.append(make());
  return cell.firstElementChild as E;
}
