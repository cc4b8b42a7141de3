/** Asks for the key of a server that wants one for everything, and says why one is not let in. */

import { h, say } from "./dom";

export class KeyForm {
  readonly element: HTMLFormElement;
  private readonly input = h("input", { type: "password", id: "key", autocomplete: "off", required: true,
    "aria-describedby": "key-problem" });
  private readonly problem = h("p", { class: "problem", id: "key-problem", role: "alert" });

  constructor(give: (key: string) => void) {
    this.element = h("form", { class: "lock", hidden: true, submit: (event) => {
      event.preventDefault();
      const key = this.input.value.trim();
      this.input.value = "";
      if (key !== "") give(key);
      else this.input.reportValidity(); // blanks alone are none
    } }, h("label", { for: "key" }, "This server wants a key. It stays in this tab."), this.input,
    h("button", { class: "chip", type: "submit" }, "Use it"), this.problem);
  }

  update(wanted: boolean, problem: string): void {
    this.element.hidden = !wanted;
    say(this.problem, problem);
    this.problem.hidden = problem === "";
    this.input.setAttribute("aria-invalid", String(problem !== ""));
  }
}
