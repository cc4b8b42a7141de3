/**
 * Paints one track: minima and maxima, a stronger body within, what was played in full and the
 * rest at 55 %, what is not final yet as a hatch. The picture of the peaks is kept and only made
 * anew when the peaks, the part that is seen, the size or the theme change.
 */

import type { Marker } from "../base/markers";
import type { Loop } from "../mixer/mixer";
import type { Columns, Peaks } from "./peaks";
import type { Viewport } from "./viewport";

const REST = 0.55;
const OUTER = 0.5; // of the tone, where only the peaks reach
const BEND = 0.65; // heights are samples to this power: a quiet stem is still a picture
const HATCH = 7; // CSS pixels from line to line

export interface Scene {
  peaks: Peaks | undefined;
  view: Viewport;
  position: number;
  loop: Loop | null;
  markers: Marker[];
  /** Changes with the theme. */
  look: number;
}

export class Waveform {
  private readonly paper: CanvasRenderingContext2D;
  private readonly kept = document.createElement("canvas");
  private stamp = "";
  private shown = "";
  private hatch: CanvasPattern | null = null;
  private tone = "";
  private ink = "";

  constructor(readonly canvas: HTMLCanvasElement, private readonly track: string) {
    this.paper = canvas.getContext("2d")!;
  }

  paint(scene: Scene): void {
    const { canvas, paper } = this;
    this.size();
    const { width, height } = canvas;
    if (width === 0 || height === 0) return;
    const { view, peaks, loop } = scene;
    const final = peaks?.final(this.track) ?? 0;
    const x = (frame: number): number => Math.round(view.at(frame) * width);
    const stamp = `${peaks?.version} ${view.start} ${view.frames} ${width} ${height} ${scene.look}`;
    const places = scene.markers.map((marker) => x(marker.frame)).join();
    const shown = `${stamp} ${x(scene.position)} ${loop?.start} ${loop?.end} ${view.total} ${places}`;
    if (shown === this.shown) return;
    this.shown = shown;
    if (stamp !== this.stamp) this.keep(peaks, view, stamp);

    paper.clearRect(0, 0, width, height);
    const played = Math.max(0, Math.min(width, x(scene.position)));
    this.copy(0, played, 1);
    this.copy(played, width, REST);
    const end = view.total > 0 ? Math.min(width, x(view.total)) : width; // all of an unknown length
    this.cover(Math.max(0, x(final)), end);
    if (loop !== null) this.frame(x(loop.start), x(loop.end));
    for (const marker of scene.markers) this.line(x(marker.frame));
    paper.fillStyle = this.ink;
    paper.fillRect(x(scene.position), 0, Math.max(1, Math.round(devicePixelRatio)), height);
  }

  private size(): void {
    const width = Math.round(this.canvas.clientWidth * devicePixelRatio);
    const height = Math.round(this.canvas.clientHeight * devicePixelRatio);
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.shown = "";
  }

  private copy(from: number, to: number, alpha: number): void {
    if (to <= from) return;
    this.paper.globalAlpha = alpha;
    this.paper.drawImage(
      this.kept, from, 0, to - from, this.kept.height, from, 0, to - from, this.kept.height,
    );
    this.paper.globalAlpha = 1;
  }

  private cover(from: number, to: number): void {
    if (to <= from || this.hatch === null) return;
    this.paper.fillStyle = this.hatch;
    this.paper.fillRect(from, 0, to - from, this.canvas.height);
  }

  private frame(from: number, to: number): void {
    const line = Math.max(1, Math.round(devicePixelRatio));
    this.paper.fillStyle = this.ink;
    this.paper.globalAlpha = 0.1;
    this.paper.fillRect(from, 0, to - from, this.canvas.height);
    this.paper.globalAlpha = 0.7;
    this.paper.fillRect(from, 0, line, this.canvas.height);
    this.paper.fillRect(to - line, 0, line, this.canvas.height);
    this.paper.globalAlpha = 1;
  }

  private line(at: number): void {
    this.paper.fillStyle = this.ink;
    this.paper.globalAlpha = 0.35;
    this.paper.fillRect(at, 0, Math.max(1, Math.round(devicePixelRatio)), this.canvas.height);
    this.paper.globalAlpha = 1;
  }

  private keep(peaks: Peaks | undefined, view: Viewport, stamp: string): void {
    this.stamp = stamp;
    const style = getComputedStyle(this.canvas);
    this.tone = style.getPropertyValue("--tone");
    this.ink = style.getPropertyValue("--ink");
    this.hatch = hatchOf(this.paper, style.getPropertyValue("--hatch"));
    const { width, height } = this.canvas;
    this.kept.width = width;
    this.kept.height = height;
    if (peaks === undefined || view.frames === 0) return;
    const paper = this.kept.getContext("2d")!;
    const columns = peaks.columns(this.track, view.start, view.frames / width, width);
    paper.fillStyle = this.tone;
    paper.globalAlpha = OUTER;
    paper.fill(outline(columns, height, (column) => [columns.high[column]!, columns.low[column]!]));
    paper.globalAlpha = 1;
    paper.fill(outline(columns, height, (column) => {
      const body = columns.body[column]!;
      return [Math.min(body, columns.high[column]!), Math.max(-body, columns.low[column]!)];
    }));
  }
}

/** The shape between two lines, at least a pixel thick so that silence is seen as a line. */
function outline(
  columns: Columns, height: number, edges: (column: number) => [number, number],
): Path2D {
  const path = new Path2D();
  const middle = height / 2;
  const half = middle - 2;
  for (let column = 0; column < columns.low.length; column++) {
    const [high, low] = edges(column);
    const top = middle - Math.max(bent(high) * half, 0.5);
    path.rect(column, top, 1, middle - Math.min(bent(low) * half, -0.5) - top);
  }
  return path;
}

function bent(value: number): number {
  return Math.sign(value) * Math.abs(value) ** BEND;
}

function hatchOf(paper: CanvasRenderingContext2D, colour: string): CanvasPattern | null {
  const size = Math.round(HATCH * devicePixelRatio);
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const pen = tile.getContext("2d")!;
  pen.strokeStyle = colour;
  pen.lineWidth = devicePixelRatio;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return paper.createPattern(tile, "repeat");
}
