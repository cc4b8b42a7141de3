/** What a dropped song is made into: the nine tracks, or a StemSplit job of the account's. */

import { h } from "../base/dom";
import { kindOf, ORIGINAL } from "../base/tracks";

export interface Choice {
  outputType: string;
  quality: string;
  outputFormat: string;
}

/** What was asked for, as the server tells it. */
export interface Options extends Choice {
  /** What serves it. */
  model?: string;
  /** Where they were asked for in place of the output type's, by name or with a model. */
  stems?: string[];
}

const OUTPUTS: Record<string, { label: string; tracks: string[] }> = {
  VOCALS: { label: "Vocals", tracks: ["vocals"] },
  INSTRUMENTAL: { label: "Instrumental", tracks: ["instrumental"] },
  BOTH: { label: "Vocals and instrumental", tracks: ["vocals", "instrumental"] },
  FOUR_STEMS: { label: "Four stems", tracks: ["vocals", "drums", "bass", "other"] },
  SIX_STEMS: { label: "Six stems", tracks: ["vocals", "drums", "bass", "other", "guitar", "piano"] },
};
const QUALITIES: Record<string, string> = { FAST: "Fast", BALANCED: "Balanced", BEST: "Best" };
const FORMATS: Record<string, string> = { MP3: "MP3", WAV: "WAV", FLAC: "FLAC" };

/** What is heard of a job, as far as its output type tells. */
export function tracksOf(outputType: string): string[] {
  return [...(OUTPUTS[outputType]?.tracks ?? []), ORIGINAL];
}

/** A job's options in a few words. */
export function madeOf({ outputType, quality, outputFormat, model, stems }: Options): string {
  const words = [QUALITIES[quality] ?? quality, outputFormat].join(" · ");
  if (stems === undefined) return `${OUTPUTS[outputType]?.label ?? outputType} · ${words}`;
  return [...(model ? [model] : []), stems.map((name) => kindOf(name).label).join(", "), words].join(" · ");
}

export class ChoiceForm {
  readonly element: HTMLElement;
  private readonly kind = select("kind", "Make of it", { pipeline: "Nine tracks", split: "StemSplit job" });
  private readonly output = select("outputType", "Output type",
    Object.fromEntries(Object.entries(OUTPUTS).map(([name, { label }]) => [name, label])), "BOTH");
  private readonly quality = select("quality", "Quality", QUALITIES, "BEST");
  private readonly format = select("outputFormat", "Format", FORMATS);
  private readonly details: HTMLElement;

  constructor() {
    this.details = h("span", { class: "details" }, this.output, this.quality, this.format);
    this.element = h("div", { class: "choice", role: "group", "aria-label": "What to make of a song",
      hidden: true }, this.kind, this.details);
    this.kind.addEventListener("change", () => this.show());
    this.show();
  }

  /** StemSplit jobs are for accounts. */
  update(signedIn: boolean): void {
    this.element.hidden = !signedIn;
    if (!signedIn) this.kind.value = "pipeline";
    this.show();
  }

  /** Null for the nine tracks. */
  get value(): Choice | null {
    if (this.kind.value === "pipeline") return null;
    return { outputType: this.output.value, quality: this.quality.value, outputFormat: this.format.value };
  }

  private show(): void {
    this.details.hidden = this.kind.value === "pipeline";
  }
}

function select(
  name: string, label: string, words: Record<string, string>, chosen?: string,
): HTMLSelectElement {
  return h("select", { "data-choice": name, "aria-label": label }, ...Object.entries(words).map(
    ([value, text]) => h("option", { value, selected: value === chosen }, text)));
}
