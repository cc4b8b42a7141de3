/** A value between two buttons: down, the value itself, which goes back to where it began, and up. */

import { enable, h, say } from "../base/dom";

export interface StepperListener {
  step(steps: number): void;
  reset(): void;
}

export class Stepper {
  readonly element: HTMLElement;
  private readonly down: HTMLButtonElement;
  private readonly up: HTMLButtonElement;
  private readonly value: HTMLButtonElement;

  /** `name` is for people, `action` for scripts; `keys` says which keys do the same. */
  constructor(
    private readonly name: string, action: string, private readonly keys: string,
    words: { down: string; up: string }, listener: StepperListener,
  ) {
    const part = (text: string, what: string, label: string, click: () => void): HTMLButtonElement =>
      h("button", { type: "button", class: "chip", "data-action": `${action}-${what}`,
        "aria-label": label, title: `${label} (${keys})`, click }, text);
    this.down = part("−", "down", words.down, () => listener.step(-1));
    this.up = part("+", "up", words.up, () => listener.step(1));
    this.value = part("", "reset", name, listener.reset);
    this.element = h("span", { class: "stepper", role: "group", "aria-label": name },
      h("span", { class: "label", "aria-hidden": "true" }, name),
      h("span", { class: "steps", "aria-live": "polite" }, this.down, this.value, this.up));
  }

  /** `text` as it is shown; `place`: at the bottom, between, at the top; `plain`: as it began. */
  update(text: string, place: "lowest" | "between" | "highest", plain: boolean): void {
    say(this.value, text);
    this.value.setAttribute("aria-label", plain ? `${this.name} ${text}` : `${this.name} ${text}, reset`);
    this.value.title = plain ? this.name : `Reset (${this.keys})`;
    this.value.classList.toggle("changed", !plain);
    enable(this.down, place !== "lowest", this.up);
    enable(this.up, place !== "highest", this.down);
  }
}
