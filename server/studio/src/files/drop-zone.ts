/** Takes songs: dropped anywhere on the page, chosen, or the demo song. */

import { h, icon } from "../base/dom";

export interface DropActions {
  files(files: Iterable<File>): void;
  /** They were chosen: the focus is still where that was done. */
  chosen(): void;
  demo(): void;
}

export class DropZone {
  readonly element: HTMLElement;
  readonly input: HTMLInputElement;
  private readonly hint = h("span", { class: "hint" });
  private readonly demo: HTMLButtonElement;
  private depth = 0;

  constructor(actions: DropActions) {
    const input = h("input", { type: "file", multiple: true, accept: "audio/*,video/*,.flac,.ogg,.opus,.m4a",
      id: "songs", class: "hidden", change: () => {
        actions.files([...(input.files ?? [])]);
        input.value = "";
        actions.chosen();
      } });
    this.input = input;
    this.demo = h("button", { type: "button", class: "chip", "data-action": "demo", hidden: true,
      click: actions.demo }, icon("play"), "Demo song");
    this.element = h("section", { class: "drop", "aria-label": "Add songs" }, input,
      h("label", { for: "songs", class: "target" }, icon("song"),
        h("span", {}, h("b", {}, "Drop a song here"), " or ", h("u", {}, "choose a file"))),
      h("p", { class: "promise" }, "It comes apart into its tracks, and you listen while it does."),
      this.hint, this.demo);
    this.listen(actions);
  }

  update(formats: string[], limit: number, demo: boolean, first: boolean): void {
    this.element.classList.toggle("first", first);
    const named = formats.slice(0, 6).map((name) => name.toUpperCase()).join(", ");
    const more = formats.length > 6 ? " and more" : "";
    this.hint.textContent = named && limit ? `${named}${more}, up to ${limit} MB` : "";
    this.demo.hidden = !demo;
  }

  private listen(actions: DropActions): void {
    const shown = (step: number): void => {
      this.depth = step === 0 ? 0 : Math.max(0, this.depth + step);
      document.documentElement.classList.toggle("dragging", this.depth > 0);
    };
    window.addEventListener("dragenter", (event) => hasFiles(event) && shown(1));
    window.addEventListener("dragleave", (event) => hasFiles(event) && shown(-1));
    window.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    window.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      shown(0);
      actions.files([...event.dataTransfer!.files]);
    });
  }
}

function hasFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") ?? false;
}
