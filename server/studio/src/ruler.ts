/** The line of times above the tracks: marks, the loop, the playhead's head; a slider for keys. */

import { frames as length } from "./format";
import { SAMPLE_RATE } from "./mixer";
import type { Scene } from "./waveform";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200]; // seconds
const APART = 72; // CSS pixels between two times, at least

export class Ruler {
  private readonly paper: CanvasRenderingContext2D;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.paper = canvas.getContext("2d")!;
  }

  paint({ view, position, loop }: Scene): void {
    const { canvas, paper } = this;
    const ratio = devicePixelRatio;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (width === 0 || view.frames === 0) return;
    const style = getComputedStyle(canvas);
    paper.scale(ratio, ratio);
    paper.font = `11px ${style.fontFamily}`;
    paper.fillStyle = style.color;
    const shown = view.frames / SAMPLE_RATE;
    const step = STEPS.find((one) => (one / shown) * width >= APART) ?? 3600;
    const first = Math.ceil(view.start / SAMPLE_RATE / step);
    for (let mark = first; mark * step * SAMPLE_RATE < view.start + view.frames; mark++) {
      const x = Math.round(view.at(mark * step * SAMPLE_RATE) * width);
      paper.fillRect(x, height - 6, 1, 6);
      if (x < width - 30) paper.fillText(length(mark * step * SAMPLE_RATE, step < 1), x + 4, height - 7);
    }
    const ink = style.getPropertyValue("--ink");
    paper.fillStyle = ink;
    if (loop !== null) {
      const from = view.at(loop.start) * width;
      paper.fillRect(from, height - 3, Math.max(1, view.at(loop.end) * width - from), 3);
    }
    const head = view.at(position) * width;
    paper.beginPath();
    paper.moveTo(head - 5, height - 9);
    paper.lineTo(head + 5, height - 9);
    paper.lineTo(head, height);
    paper.fill();
    this.describe(position, view.total);
  }

  private describe(position: number, total: number): void {
    const second = String(Math.floor(position / SAMPLE_RATE));
    if (this.canvas.getAttribute("aria-valuenow") === second) return;
    this.canvas.setAttribute("aria-valuenow", second);
    this.canvas.setAttribute("aria-valuemax", String(Math.ceil(total / SAMPLE_RATE)));
    this.canvas.setAttribute("aria-valuetext", `${length(position)} of ${length(total)}`);
  }
}
