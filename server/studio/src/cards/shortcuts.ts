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

const AGAIN = ["ArrowLeft", "ArrowRight", "+", "-", ",", ".", "<", ">"]; // and again, while they are held
const ASCII = /^[ -~]$/;
const LATIN = /^[ -~]$|^\p{Script=Latin}$/u;

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
    const key = nameOf(event);
    const act = this.actOf(key, event);
    if (act === undefined) return;
    event.preventDefault();
    if (!event.repeat || AGAIN.includes(key)) act();
  }

  /** What a key does, if it does anything. With Ctrl it is the browser's: another tab, another size. */
  private actOf(key: string, event: KeyboardEvent): (() => void) | undefined {
    const digit = digitOf(event);
    const body = this.player();
    if (event.ctrlKey && !(event.shiftKey && digit !== undefined && digit !== "0")) return undefined;
    if (key === "?") return () => this.show();
    if (key === " " && !event.shiftKey && (body !== null || this.studio.deck.player.playing)) {
      return () => void this.studio.toggle(this.studio.store.value.open!);
    }
    if (body === null) return undefined;
    return digit === undefined ? this.playerKeys(body, event.shiftKey)[key] : this.track(Number(digit), event);
  }

  private playerKeys(body: Body, shift: boolean): Record<string, () => void> {
    return {
      ArrowLeft: () => body.seekBy(shift ? -1 : -5),
      ArrowRight: () => body.seekBy(shift ? 1 : 5),
      Home: () => this.studio.deck.player.seek(0),
      "+": () => body.zoom(0.5),
      "-": () => body.zoom(2),
      ",": () => body.bend((bend) => withTempo(bend, -1)),
      ".": () => body.bend((bend) => withTempo(bend, 1)),
      "<": () => body.bend((bend) => withPitch(bend, -1)),
      ">": () => body.bend((bend) => withPitch(bend, 1)),
      n: () => body.bend(() => STRAIGHT),
      l: () => body.loop(),
      o: () => body.original(),
      m: () => body.mark(),
      j: () => body.jump(-1),
      k: () => body.jump(1),
      g: () => body.spectrum(),
    };
  }

  private track(digit: number, event: KeyboardEvent): (() => void) | undefined {
    const song = this.studio.deck.song!;
    const track = song.mix.tracks.filter((name) => kindOf(name).shown)[digit - 1];
    if (digit > 0 && track === undefined) return undefined;
    return () => this.studio.deck.setMix(song.key, (mix) => {
      if (digit === 0) return reset(mix);
      return event.shiftKey && !event.ctrlKey ? withMute(mix, track!) : withSolo(mix, track!, event.ctrlKey);
    });
  }
}

/**
 * What is on a key. In other scripts, what a Latin keyboard has there; and where Shift makes a
 * semicolon of the comma, as in much of Europe, what it makes of it elsewhere.
 */
function nameOf({ key, code, shiftKey }: KeyboardEvent): string {
  const [comma, stop] = shiftKey ? ["<", ">"] : [",", "."];
  if (key.length > 1) return key;
  if (code === "Comma" && (!ASCII.test(key) || (shiftKey && key === ";"))) return comma!;
  if (code === "Period" && (!ASCII.test(key) || (shiftKey && key === ":"))) return stop!;
  const letter = LATIN.test(key) ? undefined : /^Key(.)$/.exec(code)?.[1];
  return (letter ?? key).toLowerCase();
}

/** The row above the letters has digits with Shift, too; the number pad, while NumLock is on. */
function digitOf({ code, key }: KeyboardEvent): string | undefined {
  if (code.startsWith("Numpad")) return /^\d$/.exec(key)?.[0];
  return /^Digit(\d)$/.exec(code)?.[1];
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
