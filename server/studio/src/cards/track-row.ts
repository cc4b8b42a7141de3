/** One track: its name, its waveform, solo, mute, gain with level, download. */

import { h, icon, mark, say } from "../base/dom";
import { decibels } from "../base/format";
import { decibelsOf, heardOf, HIGHEST, LOWEST, withGain, withMute, withSolo, type Mix } from "../base/mix";
import { kindOf } from "../base/tracks";
import { Waveform, type Scene } from "../waves/waveform";

const FALL = 0.9; // of a level from one picture to the next

export type ChangeMix = (change: (mix: Mix) => Mix) => void;

export class TrackRow {
  readonly element: HTMLElement;
  readonly waveform: Waveform;
  private readonly solo: HTMLButtonElement;
  private readonly mute: HTMLButtonElement;
  private readonly gain: HTMLInputElement;
  private readonly value = h("output", { class: "decibels" });
  private readonly level = h("span", { class: "level" });
  private readonly link: HTMLAnchorElement;
  private shownLevel = 0;

  constructor(readonly track: string, change: ChangeMix) {
    const { label, tone } = kindOf(track);
    const canvas = h("canvas", { class: "lane", role: "img", "aria-label": `Waveform of ${label}` });
    this.waveform = new Waveform(canvas, track);
    this.solo = toggle("S", `Solo ${label}`, "solo", (event) =>
      change((mix) => withSolo(mix, track, event.ctrlKey || event.metaKey)));
    this.mute = toggle("M", `Mute ${label}`, "mute", () => change((mix) => withMute(mix, track)));
    this.gain = h("input", {
      type: "range", min: String(LOWEST), max: String(HIGHEST), step: "0.5", class: "gain",
      "aria-label": `Gain of ${label}`, title: "Gain; double click for 0 dB",
      input: () => change((mix) => withGain(mix, track, Number(this.gain.value))),
      dblclick: () => change((mix) => withGain(mix, track, 0)),
      pointerup: () => this.gain.blur(),
    });
    this.link = h("a", { class: "icon-button", role: "link", "data-action": "download", download: true,
      "aria-label": `Download ${label}`, title: `Download ${label}` }, icon("download"));
    const more = h("button", { class: "icon-button more", type: "button", "aria-expanded": "false",
      "aria-label": `Controls of ${label}`, click: () => this.unfold(more) }, icon("more"));
    this.element = h("div", { class: "track", "data-track": track, "data-tone": tone, role: "group",
      "aria-label": label },
      h("span", { class: "name" }, mark(track), h("span", {}, label)), canvas, more,
      h("div", { class: "tools" }, this.solo, this.mute,
        h("span", { class: "fader" }, this.gain, h("span", { class: "meter" }, this.level)),
        this.value, this.link));
  }

  update(mix: Mix, url: string | null): void {
    const heard = heardOf(mix).includes(this.track);
    const gain = decibelsOf(mix, this.track);
    this.element.classList.toggle("silent", !heard);
    this.solo.setAttribute("aria-pressed", String(mix.soloed.includes(this.track)));
    this.mute.setAttribute("aria-pressed", String(mix.muted.includes(this.track)));
    if (Number(this.gain.value) !== gain) this.gain.value = String(gain);
    this.gain.setAttribute("aria-valuetext", decibels(gain));
    say(this.value, decibels(gain));
    link(this.link, url);
  }

  /** `level` falls slowly while it plays, and at once when nothing is heard any more. */
  paint(scene: Scene, level: number, playing: boolean): void {
    this.waveform.paint(scene);
    const shown = playing ? Math.max(level, this.shownLevel * FALL) : 0;
    if (shown === this.shownLevel) return;
    this.shownLevel = shown < 1e-4 ? 0 : shown;
    const decibels = 20 * Math.log10(Math.max(this.shownLevel, 1e-4));
    const part = Math.max(0, Math.min(1, (decibels - LOWEST) / (HIGHEST - LOWEST)));
    this.level.style.transform = `scaleX(${part.toFixed(3)})`;
  }

  private unfold(button: HTMLElement): void {
    const open = this.element.classList.toggle("unfolded");
    button.setAttribute("aria-expanded", String(open));
  }
}

/** A link that leads somewhere, or one that says it does not yet. */
export function link(element: HTMLAnchorElement, url: string | null): void {
  if (url === null) {
    element.removeAttribute("href");
    element.setAttribute("aria-disabled", "true");
  } else if (element.getAttribute("href") !== url) {
    element.setAttribute("href", url);
    element.removeAttribute("aria-disabled");
  }
}

function toggle(
  text: string, label: string, action: string, click: (event: MouseEvent) => void,
): HTMLButtonElement {
  return h("button", { type: "button", class: `toggle ${action}`, "data-action": action,
    "aria-label": label, title: label, "aria-pressed": "false", click: click as EventListener }, text);
}
