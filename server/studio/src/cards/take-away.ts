/** The foot of a card: what can be downloaded; while the song is being separated, its stages. */

import type { MixFormat, Stage } from "../api/api";
import { h, icon, say } from "../base/dom";
import { phaseOf, type Song } from "../songs/state";
import { link } from "./track-row";

const STAGES: Record<string, string> = {
  audio_separation: "Stems",
  harmonic_percussive_separation: "Harmonic and percussive",
  composite_track_creation: "Composites",
  normalization: "Loudness",
};
const MIX_IS = "The mix as it is set: gains, mutes, loop";
const NO_MIX = "There is no mix: every track is muted, or its fader is at the bottom";
const DONE: Record<Stage["status"], string> = {
  pending: "to come", processing: "under way", completed: "done", failed: "failed",
};

export interface Addresses {
  /** Null where nothing is heard. */
  mix(format: MixFormat): string | null;
  /** Null where the job has no such file. */
  all(): string | null;
  stem(): string | null;
}

export class TakeAway {
  readonly element: HTMLElement;
  private readonly stages = h("ol", { class: "stages", "aria-label": "Stages" });
  private readonly files: HTMLElement;
  private readonly mix = anchor("download-mix", "This mix");
  private readonly all = anchor("download-all", "All as ZIP");
  private readonly stem = anchor("download-stem", ".stem.m4a");
  private readonly format: HTMLSelectElement;

  constructor(changed: () => void) {
    const options = ["wav", "flac", "mp3"].map((name) => h("option", { value: name }, name.toUpperCase()));
    this.format = h("select", { "aria-label": "Format of the mix", change: changed }, ...options);
    this.files = h("div", { class: "files" },
      h("span", { class: "label" }, "Download"),
      h("span", { class: "joined" }, this.mix, this.format), this.all, this.stem);
    this.stem.title = "One file for DJ software: the mix and four stems";
    this.element = h("footer", { class: "take-away" }, this.stages, this.files);
  }

  update(song: Song, addresses: Addresses): void {
    const done = phaseOf(song) === "done";
    this.files.hidden = !done;
    this.stages.hidden = done;
    const mix = done ? addresses.mix(this.format.value as MixFormat) : null;
    link(this.mix, mix);
    this.mix.title = done && mix === null ? NO_MIX : MIX_IS;
    const all = done ? addresses.all() : null;
    const stem = done ? addresses.stem() : null;
    link(this.all, all);
    link(this.stem, stem);
    this.all.hidden = done && all === null;
    this.stem.hidden = done && stem === null;
    if (!done) this.list(song.job?.stages ?? []);
  }

  private list(stages: Stage[]): void {
    while (this.stages.children.length > stages.length) this.stages.lastChild!.remove();
    stages.forEach((stage, index) => {
      const item = (this.stages.children[index] as HTMLElement | undefined) ?? h("li");
      if (item.parentNode === null) this.stages.append(item);
      item.dataset.status = stage.status;
      say(item, STAGES[stage.name] ?? stage.name);
      item.title = DONE[stage.status];
      item.setAttribute("aria-label", `${STAGES[stage.name] ?? stage.name}: ${DONE[stage.status]}`);
    });
  }
}

function anchor(action: string, text: string): HTMLAnchorElement {
  return h("a", { class: "chip", role: "link", "data-action": action, download: true }, icon("download"), text);
}
