/** Play, loop, time, original, tempo, key, zoom: one row, always in reach. */

import { FASTEST, SLOWEST, STRAIGHT, straight, WIDEST, withPitch, withTempo, type Bend } from "../mixer/bend";
import { h, icon, say } from "../base/dom";
import { frames, semitones, span } from "../base/format";
import type { Player } from "../player/player";
import { audible, hasOriginal, type Song } from "../songs/state";
import { Stepper } from "./stepper";

const HEAR_ORIGINAL = "Hear the song as it came in (O)";
const NOT_KEPT = "The original is not kept for these stems";

export interface TransportActions {
  play(): void;
  loop(): void;
  original(): void;
  bend(change: (bend: Bend) => Bend): void;
  mark(): void;
  spectrogram(): void;
  zoom(factor: number): void;
  help(): void;
}

export class Transport {
  readonly element: HTMLElement;
  private readonly play: HTMLButtonElement;
  private readonly loop: HTMLButtonElement;
  private readonly original: HTMLButtonElement;
  private readonly position = h("span", { class: "position" }, "0:00.0");
  private readonly total = h("span", { class: "total" });
  private readonly note = h("span", { class: "note" });
  private readonly tempo: Stepper;
  private readonly pitch: Stepper;
  private readonly marker: HTMLButtonElement;
  private readonly spectrogram: HTMLButtonElement;
  private readonly more: HTMLButtonElement;

  constructor(actions: TransportActions) {
    this.play = h("button", { type: "button", class: "play", "data-action": "play",
      "aria-label": "Play", title: "Play (space)", click: actions.play }, icon("play"));
    this.loop = button("loop", "Loop", "Set the loop's start, then its end, then clear it (L)", actions.loop);
    this.loop.prepend(icon("loop"));
    this.original = button("original", "Original", HEAR_ORIGINAL, actions.original);
    this.tempo = new Stepper("Tempo", "tempo", ", and .", { down: "Slower", up: "Faster" }, {
      step: (steps) => actions.bend((bend) => withTempo(bend, steps)),
      reset: () => actions.bend((bend) => ({ ...bend, tempo: STRAIGHT.tempo })),
    });
    this.pitch = new Stepper("Key", "key", "shift with , and .", { down: "Lower", up: "Higher" }, {
      step: (steps) => actions.bend((bend) => withPitch(bend, steps)),
      reset: () => actions.bend((bend) => ({ ...bend, semitones: STRAIGHT.semitones })),
    });
    this.marker = button("set-marker", "Mark", "Set a marker here; at a marker, delete it (M)", actions.mark);
    this.spectrogram = button("spectrogram", "Spectrogram", "Show the pitches of a track (G)", actions.spectrogram);
    const settings = h("span", { class: "settings", id: "settings" }, this.tempo.element, this.pitch.element,
      this.marker, this.spectrogram);
    this.more = h("button", { type: "button", class: "icon-button more", "aria-expanded": "false",
      "aria-controls": "settings", "aria-label": "Tempo, key, markers", click: () => {
        const open = this.element.classList.toggle("unfolded");
        this.more.setAttribute("aria-expanded", String(open));
      } }, icon("more"));
    const zoom = h("span", { class: "zoom" },
      button("zoom-out", "−", "Zoom out", () => actions.zoom(2)),
      button("zoom-in", "+", "Zoom in (ctrl and wheel)", () => actions.zoom(0.5)));
    this.element = h("div", { class: "transport", role: "toolbar", "aria-label": "Player" },
      this.play, h("span", { class: "time" }, this.position, " / ", this.total),
      this.loop, this.original, this.more, settings, this.note, zoom,
      button("help", "?", "Keyboard shortcuts (?)", actions.help));
  }

  /** The focus goes to the button that plays. */
  focus(): void {
    this.play.focus();
  }

  /** It goes to the button that sets markers, or to the one that unfolds it. */
  focusMark(): void {
    (this.marker.checkVisibility() ? this.marker : this.more).focus();
  }

  update(song: Song, looping: "off" | "started" | "on", spectrogram: boolean): void {
    const { mix } = song;
    this.play.disabled = this.marker.disabled = this.spectrogram.disabled = !audible(song);
    this.original.disabled = !hasOriginal(song);
    this.original.title = this.original.disabled ? NOT_KEPT : HEAR_ORIGINAL;
    this.loop.setAttribute("aria-pressed", String(looping === "on"));
    this.loop.classList.toggle("started", looping === "started");
    say(this.loop.lastChild as Element, looping === "started" ? "Loop to…" : "Loop");
    this.original.setAttribute("aria-pressed", String(mix.original));
    this.spectrogram.setAttribute("aria-pressed", String(spectrogram));
    const { tempo, semitones: shift } = mix.bend;
    this.tempo.update(`${tempo.toFixed(2)}×`, place(tempo, SLOWEST, FASTEST), tempo === STRAIGHT.tempo);
    this.pitch.update(semitones(shift), place(shift, -WIDEST, WIDEST), shift === STRAIGHT.semitones);
    this.element.classList.toggle("bent", !straight(mix.bend));
  }

  /** `limited`: milliseconds for which the server takes no requests. */
  paint(player: Player, position: number, total: number, limited: number): void {
    const { playing, waiting, kind } = player;
    const label = playing ? "Pause" : "Play";
    if (this.play.getAttribute("aria-label") !== label) {
      this.play.setAttribute("aria-label", label);
      this.play.title = `${label} (space)`;
      this.play.replaceChildren(icon(playing ? "pause" : "play"));
    }
    this.play.classList.toggle("waiting", waiting);
    say(this.position, frames(position, true));
    say(this.total, total > 0 ? frames(total) : "–:––");
    say(this.note, limited > 0 ? `too many requests, goes on in ${span(Math.ceil(limited / 1000))}`
      : waiting ? "waiting for the next part"
      : kind === "chained" ? "simple playback: this page is not on HTTPS" : "");
  }
}

function place(value: number, lowest: number, highest: number): "lowest" | "between" | "highest" {
  return value <= lowest ? "lowest" : value >= highest ? "highest" : "between";
}

function button(action: string, text: string, title: string, click: () => void): HTMLButtonElement {
  const label = text.length > 1 ? undefined : title.replace(/ \(.*/, "");
  return h("button", { type: "button", class: `chip ${action}`, "data-action": action, title,
    "aria-label": label, click }, h("span", {}, text));
}
