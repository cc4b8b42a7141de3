/** Something that the page has to say once; it goes when it is overtaken, or closed. */

import { h, icon, say } from "./dom";

export class Notice {
  readonly element: HTMLElement;
  private readonly text = h("p", { role: "status" });

  constructor(close: () => void) {
    this.element = h("div", { class: "banner notice", hidden: true }, this.text,
      h("button", { type: "button", class: "icon-button", "data-action": "close-notice",
        "aria-label": "Close this notice", title: "Close", click: close }, icon("close")));
  }

  update(text: string): void {
    say(this.text, text);
    this.element.hidden = text === "";
  }
}
