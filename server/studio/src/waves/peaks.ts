/** The minima and maxima of a song's tracks, as far as they are known; columns for a picture. */

import type { PeakData, PeaksAnswer } from "../api/api";

/** One value a column, -1 to 1. `body` is the mean of the peaks within: how full it is. */
export interface Columns {
  low: Float32Array;
  high: Float32Array;
  body: Float32Array;
}

/** Pairs of one track at one zoom; grows from the front. */
class Pairs {
  private values = new Int8Array(0);
  count = 0;

  constructor(readonly frames: number) {}

  merge({ first_frame = 0, data }: PeakData): void {
    const letters = atob(data);
    const first = Math.floor(first_frame / this.frames);
    this.reserve(2 * first + letters.length);
    for (let i = 0; i < letters.length; i++) this.values[2 * first + i] = letters.charCodeAt(i);
    this.count = Math.max(this.count, first + (letters.length >> 1));
  }

  /** Fills column `into` from pairs `from` to `to`. */
  column(columns: Columns, into: number, from: number, to: number): void {
    let low = 127;
    let high = -128;
    let sum = 0;
    for (let pair = from; pair < to; pair++) {
      const min = this.values[2 * pair]!;
      const max = this.values[2 * pair + 1]!;
      if (min < low) low = min;
      if (max > high) high = max;
      sum += Math.max(-min, max);
    }
    columns.low[into] = low / 127;
    columns.high[into] = high / 127;
    columns.body[into] = (0.6 * sum) / (to - from) / 127;
  }

  private reserve(length: number): void {
    if (length <= this.values.length) return;
    const grown = new Int8Array(Math.max(length, 2 * this.values.length));
    grown.set(this.values);
    this.values = grown;
  }
}

export class Peaks {
  /** Counts the answers: whoever draws sees whether there is something new. */
  version = 0;
  private readonly tracks = new Map<string, { final: number; zooms: Pairs[] }>();

  merge(answer: PeaksAnswer): void {
    for (const [name, { final_frames, zooms }] of Object.entries(answer.tracks)) {
      const track = this.tracks.get(name) ?? { final: 0, zooms: [] };
      // It has begun since it was asked: what lies before would be missing, and is asked for next.
      if (zooms.some(({ first_frame = 0 }) => first_frame > track.final)) continue;
      track.final = Math.max(track.final, final_frames);
      for (const zoom of zooms) this.pairs(track.zooms, zoom.frames_per_peak).merge(zoom);
      this.tracks.set(name, track);
    }
    this.version++;
  }

  /** The frame from which on some of these tracks' peaks may still come. */
  since(tracks: string[], total: number): number {
    const finals = tracks.map((name) => this.tracks.get(name)?.final ?? 0);
    const growing = finals.filter((final) => total === 0 || final < total);
    return growing.length > 0 ? Math.min(...growing) : total;
  }

  final(track: string): number {
    return this.tracks.get(track)?.final ?? 0;
  }

  /** So many columns of `frames` frames each from `start` on; fewer where the peaks end. */
  columns(name: string, start: number, frames: number, count: number): Columns {
    const track = this.tracks.get(name);
    const zoom = track === undefined ? undefined : bestZoom(track.zooms, frames);
    const known = zoom === undefined ? 0 : zoom.count * zoom.frames;
    const length = Math.max(0, Math.min(count, Math.floor((known - start) / frames)));
    const columns = {
      low: new Float32Array(length), high: new Float32Array(length), body: new Float32Array(length),
    };
    for (let column = 0; column < length; column++) {
      const from = Math.floor((start + column * frames) / zoom!.frames);
      const to = Math.floor((start + (column + 1) * frames) / zoom!.frames);
      zoom!.column(columns, column, from, Math.max(from + 1, to));
    }
    return columns;
  }

  private pairs(zooms: Pairs[], frames: number): Pairs {
    const found = zooms.find((zoom) => zoom.frames === frames);
    if (found) return found;
    const made = new Pairs(frames);
    zooms.push(made);
    zooms.sort((a, b) => a.frames - b.frames);
    return made;
  }
}

/** The coarsest that still has two pairs a column, else the finest. */
function bestZoom(zooms: Pairs[], frames: number): Pairs | undefined {
  return zooms.filter((zoom) => 2 * zoom.frames <= frames).at(-1) ?? zooms[0];
}
