/** The keyboard: one table of what each key does, and the list of it that people see. */

import { STRAIGHT, withPitch, withTempo } from "../mixer/bend";
import { h } from "../base/dom";
import { reset, withMute, withSolo } from "../base/mix";
import type { Body } from "./body";
import type { Studio } from "../studio/studio";
import { kindOf } from "../base/tracks";

const LISTED = [
  ["Space", "play, pause"], ["← →", "5 s back, forward; with Shift 1 s"], ["Home", "to the start"],
  ["L", "loop: start, end, clear"], ["1 – 9", "solo a track; with Ctrl and Shift beside others"],
  ["Shift 1 – 9", "mute a track"], ["0", "all as at the start"], ["O", "original"],
  [", .", "slower, faster; with Shift lower, higher"], ["N", "tempo and key as recorded"],
  ["M", "set a marker; at one, delete it"], ["J K", "to the marker before, behind"],
  ["G", "spectrogram"], ["+ −", "zoom"], ["?", "this list"],
];

export class Shortcuts {
  readonly dialog: HTMLDialogElement;
  private readonly heading = h("h2", { tabindex: "-1" }, "Keyboard");

  constructor(private readonly studio: Studio, private readonly player: () => Body | null) {
    const rows = LISTED.map(([key, does]) => h("div", {}, h("dt", {}, h("kbd", {}, key!)), h("dd", {}, does!)));
    const close = h("button", { type: "button", class: "chip", click: () => this.dialog.close() }, "Close");
    this.dialog = h("dialog", { "aria-label": "Keyboard shortcuts" },
      this.heading, h("dl", {}, ...rows), close);
    window.addEventListener("keydown", (event) => this.press(event));
  }

  show(): void {
    if (this.dialog.open) return;
    this.dialog.showModal();
    this.heading.focus(); // where the list begins, not at the button below it
  }

  private press(event: KeyboardEvent): void {
    if (document.querySelector("dialog[open]") || event.metaKey || event.altKey || typing(event)) return;
    if (this.act(event)) event.preventDefault();
  }

  /** Whether the key meant something. With Ctrl it is the browser's: another tab, another size. */
  private act(event: KeyboardEvent): boolean {
    const digit = digitOf(event);
    const body = this.player();
    if (event.ctrlKey && !(event.shiftKey && digit !== undefined && digit !== "0")) return false;
    if (event.key === "?") this.show();
    else if (event.key === " " && !event.shiftKey && (body !== null || this.studio.deck.player.playing)) {
      void this.studio.toggle(this.studio.store.value.open!);
    } else if (body === null) return false;
    else if (digit !== undefined) return this.track(Number(digit), event);
    else if (event.key === "ArrowLeft") body.seekBy(event.shiftKey ? -1 : -5);
    else if (event.key === "ArrowRight") body.seekBy(event.shiftKey ? 1 : 5);
    else if (event.key === "Home") this.studio.deck.player.seek(0);
    else if (event.key === "+") body.zoom(0.5);
    else if (event.key === "-") body.zoom(2);
    else if (event.code === "Comma" || event.code === "Period") this.bend(body, event);
    else return letter(body, event.key.toLowerCase());
    return true;
  }

  private bend(body: Body, event: KeyboardEvent): void {
    const steps = event.code === "Comma" ? -1 : 1;
    body.bend((bend) => (event.shiftKey ? withPitch(bend, steps) : withTempo(bend, steps)));
  }

  private track(digit: number, event: KeyboardEvent): boolean {
    const song = this.studio.deck.song!;
    const track = song.mix.tracks.filter((name) => kindOf(name).shown)[digit - 1];
    if (digit > 0 && track === undefined) return false;
    this.studio.deck.setMix(song.key, (mix) => {
      if (digit === 0) return reset(mix);
      return event.shiftKey && !event.ctrlKey ? withMute(mix, track!) : withSolo(mix, track!, event.ctrlKey);
    });
    return true;
  }
}

/** The row above the letters has digits with Shift, too; the number pad, while NumLock is on. */
function digitOf({ code, key }: KeyboardEvent): string | undefined {
  if (code.startsWith("Numpad")) return /^\d$/.exec(key)?.[0];
  return /^Digit(\d)$/.exec(code)?.[1];
}

function letter(body: Body, key: string): boolean {
  if (key === "l") body.loop();
  else if (key === "o") body.original();
  else if (key === "n") body.bend(() => STRAIGHT);
  else if (key === "m") body.mark();
  else if (key === "j") body.jump(-1);
  else if (key === "k") body.jump(1);
  else if (key === "g") body.spectrum();
  else return false;
  return true;
}

/** Keys that the focused element wants for itself. */
function typing(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  if (target instanceof HTMLInputElement && target.type === "range") {
    return event.key.startsWith("Arrow") || event.key === "Home";
  }
  if (target.matches("input:not([type=file]), select, textarea")) return true;
  return event.key === " " && target.matches("button, a, summary, label, input");
}
