/** Paints the pitches of one track over time, under the ruler and in step with the waveforms. */

import { h } from "../base/dom";
import { BANDS, HIGHEST_HERTZ, LOWEST_HERTZ, MOMENT } from "./spectrum";
import { SpectrumFeed, stepOf, type Look } from "./spectrum-feed";
import { kindOf, ORIGINAL } from "../base/tracks";
import type { Scene } from "./waveform";
import type { FetchWindow } from "../player/window-feed";

const COLUMN = 2; // CSS pixels that a column should have, at most twice as many
const MARKS = [100, 1000, 10_000]; // Hz

export class Spectrogram {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  private readonly choice: HTMLSelectElement;
  private readonly paper: CanvasRenderingContext2D;
  private readonly kept = document.createElement("canvas");
  private readonly feed: SpectrumFeed;
  private offered = "";
  private shades = new Uint32Array(256);
  private colours = { ink: "", ground: "", quiet: "", font: "" };
  private dyed = "";
  private stamp = "";
  private shown = "";

  constructor(tracks: string[], fetchWindow: FetchWindow, private readonly changed: () => void) {
    this.choice = h("select", { "aria-label": "Track of the spectrogram", change: () => changed() });
    this.offer(tracks);
    this.canvas = h("canvas", { class: "lane", role: "img" });
    this.paper = this.canvas.getContext("2d")!;
    this.feed = new SpectrumFeed(fetchWindow, changed);
    this.element = h("div", { class: "track spectrum", hidden: true, role: "group", "aria-label": "Spectrogram" },
      h("span", { class: "name" }, this.choice), this.canvas, h("div", { class: "tools" }));
  }

  get open(): boolean {
    return !this.element.hidden;
  }

  toggle(): void {
    this.element.hidden = this.open;
    if (!this.open) this.feed.show(null, 0);
    this.changed();
  }

  /**
   * Has these tracks to choose from, the song as it came in first; where the chosen one is not among
   * them, the first is chosen.
   */
  offer(tracks: string[]): void {
    if (tracks.join() === this.offered) return;
    this.offered = tracks.join();
    const chosen = this.choice.value;
    const rows = tracks.filter((name) => name !== ORIGINAL);
    const ordered = rows.length < tracks.length ? [ORIGINAL, ...rows] : rows;
    const options = ordered.map((name) => h("option", { value: name }, kindOf(name).label));
    this.choice.replaceChildren(...options);
    if (tracks.includes(chosen)) this.choice.value = chosen;
  }

  close(): void {
    this.feed.show(null, 0);
  }

  /** `final`: how far a track can be heard; a moment that is cut would look fainter than it is. */
  paint(scene: Scene, final: (track: string) => number): void {
    if (!this.open || !this.size() || scene.view.frames === 0) return;
    const { view } = scene;
    const { width } = this.canvas;
    const track = this.choice.value;
    const step = stepOf(view.frames, Math.ceil(this.canvas.clientWidth / COLUMN));
    const look = { track, start: view.start, end: view.start + view.frames, step };
    const far = final(track);
    this.feed.show(look, far < view.total ? far - MOMENT / 2 : far);
    this.element.dataset.state = this.feed.whole ? "whole" : "filling";
    this.canvas.setAttribute("aria-label", `Spectrogram of ${kindOf(track).label}, 40 Hz to 16 kHz`);
    const x = (frame: number): number => Math.round(view.at(frame) * width);
    const stamp = `${this.feed.version} ${JSON.stringify(look)} ${width} ${this.canvas.height} ${scene.look}`;
    const shown = `${stamp} ${x(scene.position)}`;
    if (shown === this.shown) return;
    this.shown = shown;
    if (stamp !== this.stamp) this.keep(look, scene.look, stamp);
    this.paper.clearRect(0, 0, width, this.canvas.height);
    this.picture(look, x);
    this.marks();
    this.paper.fillStyle = this.colours.ink;
    this.paper.fillRect(x(scene.position), 0, Math.max(1, Math.round(devicePixelRatio)), this.canvas.height);
  }

  private size(): boolean {
    const width = Math.round(this.canvas.clientWidth * devicePixelRatio);
    const height = Math.round(this.canvas.clientHeight * devicePixelRatio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.shown = "";
    }
    return width > 0 && height > 0;
  }

  /** A picture with a pixel a column and a band, to be stretched over the canvas. */
  private keep({ start, end, step, track }: Look, look: number, stamp: string): void {
    this.stamp = stamp;
    if (this.dyed !== `${look} ${track}`) this.dye(kindOf(track).tone);
    this.dyed = `${look} ${track}`;
    const first = Math.floor(start / step);
    const count = Math.ceil(end / step) - first + 1;
    const image = new ImageData(count, BANDS);
    const pixels = new Uint32Array(image.data.buffer);
    for (let column = 0; column < count; column++) {
      this.feed.column(track, step, first + column)?.forEach((value, band) => {
        pixels[(BANDS - 1 - band) * count + column] = this.shades[value]!;
      });
    }
    this.kept.width = count;
    this.kept.height = BANDS;
    this.kept.getContext("2d")!.putImageData(image, 0, 0);
  }

  private picture({ start, step }: Look, x: (frame: number) => number): void {
    const first = (Math.floor(start / step) - 0.5) * step; // a column stands around its frame
    const from = x(first);
    const to = x(first + this.kept.width * step);
    this.paper.imageSmoothingEnabled = true;
    this.paper.drawImage(this.kept, from, 0, to - from, this.canvas.height);
  }

  private marks(): void {
    const { paper, canvas } = this;
    paper.font = `${Math.round(10 * devicePixelRatio)}px ${this.colours.font}`;
    for (const hertz of MARKS) {
      const part = Math.log(hertz / LOWEST_HERTZ) / Math.log(HIGHEST_HERTZ / LOWEST_HERTZ);
      const y = Math.round((1 - part) * canvas.height);
      paper.fillStyle = this.colours.quiet;
      paper.fillRect(0, y, 6 * devicePixelRatio, Math.max(1, Math.round(devicePixelRatio)));
      const text = hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`;
      const place = [9 * devicePixelRatio, y + 4 * devicePixelRatio] as const;
      paper.strokeStyle = this.colours.ground; // readable on whatever the picture has there
      paper.lineWidth = 4 * devicePixelRatio;
      paper.strokeText(text, ...place);
      paper.fillStyle = this.colours.ink;
      paper.fillText(text, ...place);
    }
  }

  /** From nothing by way of the track's own colour to the ink, in the theme that is shown. */
  private dye(tone: string): void {
    const style = getComputedStyle(this.canvas);
    const [ink, ground] = [style.getPropertyValue("--ink"), style.getPropertyValue("--surface")];
    this.colours = { ink, ground, quiet: style.color, font: style.fontFamily };
    const pen = new OffscreenCanvas(256, 1).getContext("2d")!;
    const ramp = pen.createLinearGradient(0, 0, 256, 0);
    ramp.addColorStop(0, ground);
    ramp.addColorStop(0.7, style.getPropertyValue(`--${tone}`));
    ramp.addColorStop(1, ink);
    pen.fillStyle = ramp;
    pen.fillRect(0, 0, 256, 1);
    this.shades = new Uint32Array(pen.getImageData(0, 0, 256, 1).data.buffer);
  }
}
