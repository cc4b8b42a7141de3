/** The line of times above the tracks: marks, the loop, the playhead's head; a slider for keys. */

import { frames as length } from "../base/format";
import type { Marker } from "../base/markers";
import { SAMPLE_RATE } from "../mixer/mixer";
import type { Viewport } from "./viewport";
import type { Scene } from "./waveform";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200]; // seconds
const APART = 72; // CSS pixels between two times, at least

export class Ruler {
  private readonly paper: CanvasRenderingContext2D;
  private shown = "";
  private look = -1;
  private family = "";
  private quiet = "";
  private ink = "";

  constructor(readonly canvas: HTMLCanvasElement) {
    this.paper = canvas.getContext("2d")!;
  }

  paint(scene: Scene): void {
    const { view, position, loop, look, markers } = scene;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || view.frames === 0) return;
    const head = Math.round(view.at(position) * width * devicePixelRatio) / devicePixelRatio;
    const shown = `${look} ${view.start} ${view.frames} ${width} ${head} ${loop?.start} ${loop?.end} ${JSON.stringify(markers)}`;
    this.describe(position, view.total);
    if (shown === this.shown) return;
    this.shown = shown;
    this.fit(width, height, look);
    this.marks(view, width, height);
    this.flags(markers, view, width, height);
    this.paper.fillStyle = this.ink;
    if (loop !== null) {
      const from = view.at(loop.start) * width;
      this.paper.fillRect(from, height - 3, Math.max(1, view.at(loop.end) * width - from), 3);
    }
    this.paper.beginPath();
    this.paper.moveTo(head - 5, height - 9);
    this.paper.lineTo(head + 5, height - 9);
    this.paper.lineTo(head, height);
    this.paper.fill();
  }

  /** A canvas of the right size, empty, with the theme's colours. */
  private fit(width: number, height: number, look: number): void {
    const { canvas, paper } = this;
    const ratio = devicePixelRatio;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) {
      canvas.width = across;
      canvas.height = down;
    }
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    paper.clearRect(0, 0, width, height);
    if (look === this.look) return;
    this.look = look;
    const style = getComputedStyle(canvas);
    this.family = style.fontFamily;
    this.quiet = style.color;
    this.ink = style.getPropertyValue("--ink");
  }

  private marks(view: Viewport, width: number, height: number): void {
    const { paper } = this;
    paper.font = `11px ${this.family}`;
    paper.fillStyle = this.quiet;
    const shown = view.frames / SAMPLE_RATE;
    const step = STEPS.find((one) => (one / shown) * width >= APART) ?? 3600;
    const first = Math.ceil(view.start / SAMPLE_RATE / step);
    for (let mark = first; mark * step * SAMPLE_RATE < view.start + view.frames; mark++) {
      const x = Math.round(view.at(mark * step * SAMPLE_RATE) * width);
      paper.fillRect(x, height - 6, 1, 6);
      const text = length(mark * step * SAMPLE_RATE, step < 1);
      if (x < width - 30) paper.fillText(text, x + 4, height - 7);
    }
  }

  /** A flag a marker, with as much of its name as there is room for. */
  private flags(markers: Marker[], view: Viewport, width: number, height: number): void {
    const { paper } = this;
    paper.fillStyle = this.ink;
    markers.forEach(({ frame, name }, place) => {
      const x = Math.round(view.at(frame) * width);
      if (x < -1 || x > width) return;
      const next = markers[place + 1];
      const room = (next === undefined ? width : Math.min(width, view.at(next.frame) * width)) - x - 14;
      paper.fillRect(x, 0, 1, height);
      paper.beginPath();
      paper.moveTo(x, 0);
      paper.lineTo(x + 8, 4);
      paper.lineTo(x, 8);
      paper.fill();
      paper.fillText(fitting(paper, name, room), x + 11, 9);
    });
  }

  private describe(position: number, total: number): void {
    const text = `${length(position)} of ${length(total)}`;
    if (this.canvas.getAttribute("aria-valuetext") === text) return;
    this.canvas.setAttribute("aria-valuenow", String(Math.floor(position / SAMPLE_RATE)));
    this.canvas.setAttribute("aria-valuemax", String(Math.ceil(total / SAMPLE_RATE)));
    this.canvas.setAttribute("aria-valuetext", text);
  }
}

function fitting(paper: CanvasRenderingContext2D, text: string, room: number): string {
  if (paper.measureText(text).width <= room) return text;
  for (let length = text.length - 1; length > 0; length--) {
    const cut = `${text.slice(0, length)}…`;
    if (paper.measureText(cut).width <= room) return cut;
  }
  return "";
}
