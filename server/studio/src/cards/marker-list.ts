/** The markers of a song: each can be gone to, named and deleted. */

import { h, icon, say } from "../base/dom";
import { frames } from "../base/format";
import { LONGEST_NAME, type Marker } from "../base/markers";

export interface MarkerActions {
  go(frame: number): void;
  rename(frame: number, name: string): void;
  remove(frame: number): void;
  /** The last one has gone, and had the focus. */
  left(): void;
}

export class MarkerList {
  readonly element: HTMLElement;
  private readonly list = h("ul", { "aria-label": "Markers" });
  private readonly items = new Map<number, HTMLLIElement>();

  constructor(private readonly actions: MarkerActions) {
    this.element = h("section", { class: "markers", hidden: true }, h("span", { class: "label" }, "Markers"), this.list);
  }

  update(markers: Marker[]): void {
    const { action } = (document.activeElement as HTMLElement | null)?.dataset ?? {};
    const focused = [...this.list.children].findIndex((item) => item.contains(document.activeElement));
    this.element.hidden = markers.length === 0;
    for (const [frame, item] of this.items) {
      if (markers.some((marker) => marker.frame === frame)) continue;
      item.remove();
      this.items.delete(frame);
    }
    markers.forEach((marker, place) => {
      const item = this.items.get(marker.frame) ?? this.item(marker.frame);
      this.items.set(marker.frame, item);
      if (this.list.children[place] !== item) this.list.insertBefore(item, this.list.children[place] ?? null);
      name(item, marker);
    });
    const lost = action !== undefined && focused >= 0 && !this.list.contains(document.activeElement);
    if (lost) this.refocus(focused, action);
  }

  /** A marker that goes leaves the focus to the one that takes its place. */
  private refocus(place: number, action: string): void {
    const item = this.list.children[place] ?? this.list.lastElementChild;
    if (item === null) this.actions.left();
    else item.querySelector<HTMLElement>(`[data-action="${action}"]`)!.focus();
  }

  private item(frame: number): HTMLLIElement {
    const field = h("input", { type: "text", dir: "auto", maxlength: String(LONGEST_NAME), autocomplete: "off",
      change: () => this.actions.rename(frame, field.value),
      keydown: (event) => {
        const { key, isComposing } = event as KeyboardEvent;
        if (key === "Enter" && !isComposing) field.blur();
      } });
    return h("li", { "data-frame": String(frame) },
      h("button", { type: "button", class: "chip", "data-action": "marker-go",
        click: () => this.actions.go(frame) }, frames(frame, true)),
      field,
      h("button", { type: "button", class: "icon-button", "data-action": "marker-remove",
        click: () => this.actions.remove(frame) }, icon("close")));
  }
}

/** What is being typed is left alone. */
function name(item: HTMLLIElement, marker: Marker): void {
  const [go, field, remove] = item.children as unknown as [HTMLElement, HTMLInputElement, HTMLElement];
  const called = marker.name || frames(marker.frame, true);
  go.setAttribute("aria-label", `Go to ${called}, ${frames(marker.frame, true)}`);
  field.setAttribute("aria-label", `Name of the marker at ${frames(marker.frame, true)}`);
  remove.setAttribute("aria-label", `Delete ${called}`);
  remove.title = `Delete ${called}`;
  if (document.activeElement !== field) field.value = marker.name;
  say(go, frames(marker.frame, true));
}
