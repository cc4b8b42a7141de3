/**
 * Fetches the moments that a spectrogram shows: whole windows where they lie close, for requests may
 * be few, and single moments where a picture spans much of the song. What it keeps is bounded,
 * whatever the song's length.
 */

import type { FetchWindow } from "../player/window-feed";
import { MOMENT, Spectrum } from "./spectrum";

const KEPT = 4096; // columns: 0.7 MB
const FINEST = 512; // frames from column to column
const LONGEST = 8 * 44_100; // frames of one window
const SPARSE = 4 * MOMENT; // frames from column to column beyond which moments come alone
const AT_ONCE = 2; // requests
const PATIENCE = 1000; // milliseconds after a request that failed

/** The part of a song that is looked at. */
export interface Look {
  track: string;
  start: number;
  end: number;
  /** Frames from column to column, as `stepOf` has it. */
  step: number;
}

/** The step for a picture of so many frames in so many columns: a power of two, so that it is met again. */
export function stepOf(frames: number, columns: number): number {
  return FINEST * 2 ** Math.max(0, Math.ceil(Math.log2(frames / columns / FINEST)));
}

export class SpectrumFeed {
  /** Counts the answers. */
  version = 0;
  private readonly spectrum = new Spectrum();
  private readonly columns = new Map<string, Uint8Array<ArrayBuffer>>();
  private readonly running = new Set<number>();
  private abort = new AbortController();
  private look: Look | null = null;
  private reach = 0;
  private workers = 0;

  constructor(private readonly fetchWindow: FetchWindow, private readonly changed: () => void) {}

  /** What is looked at now, null for nothing any more, and up to which frame its track is known. */
  show(look: Look | null, reach: number): void {
    this.reach = reach;
    if (JSON.stringify(look) !== JSON.stringify(this.look)) {
      this.look = look;
      this.abort.abort();
      this.abort = new AbortController();
      this.running.clear();
      this.workers = 0;
    }
    if (look === null) return this.columns.clear();
    if (this.workers === 0 && !this.whole) for (let i = 0; i < AT_ONCE; i++) void this.work(look, this.abort.signal);
  }

  /** Whether all of what is looked at is here, as far as it is known. */
  get whole(): boolean {
    return this.look === null || this.missing(this.look).length === 0;
  }

  column(track: string, step: number, index: number): Uint8Array<ArrayBuffer> | undefined {
    return this.columns.get(`${track} ${step} ${index}`);
  }

  /** Columns that nobody fetches yet, in their order. */
  private missing({ track, start, end, step }: Look): number[] {
    const first = Math.max(0, Math.floor(start / step));
    const last = Math.ceil(Math.min(end + step, this.reach) / step) - 1;
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at)
      .filter((index) => this.column(track, step, index) === undefined && !this.running.has(index));
  }

  /** The next run of columns for one request; far apart ones come alone, a rough picture first. */
  private next(look: Look): number[] {
    const missing = this.missing(look);
    if (look.step > SPARSE) {
      const rough = [8, 4, 2, 1].map((every) => missing.find((index) => index % every === 0));
      const index = rough.find((one) => one !== undefined);
      return index === undefined ? [] : [index];
    }
    const most = Math.floor((LONGEST - MOMENT) / look.step);
    return missing.filter((index, at) => at < most && index === missing[0]! + at);
  }

  private async work(look: Look, signal: AbortSignal): Promise<void> {
    this.workers++;
    for (let run = this.next(look); run.length > 0 && !signal.aborted; run = this.next(look)) {
      for (const index of run) this.running.add(index);
      try {
        await this.fetch(look, run[0]!, run.length, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, PATIENCE));
      }
      if (signal.aborted) return;
      for (const index of run) this.running.delete(index);
    }
    if (!signal.aborted) this.workers--;
  }

  /** A column's moment lies around its frame. */
  private async fetch(look: Look, first: number, count: number, signal: AbortSignal): Promise<void> {
    const { track, step } = look;
    const start = Math.max(0, first * step - MOMENT / 2);
    const frames = Math.min(this.reach + MOMENT / 2, (first + count - 1) * step + MOMENT / 2) - start;
    const window = await this.fetchWindow([track], start, frames, signal);
    const samples = await window.samples.fill(new Int16Array(2 * window.frames), 2 * window.frames);
    window.samples.cancel();
    if (signal.aborted) return;
    for (let index = first; index < first + count; index++) {
      this.keep(`${track} ${step} ${index}`, this.spectrum.bands(samples, index * step - MOMENT / 2 - window.start));
    }
    this.version++;
    this.changed();
  }

  private keep(key: string, bands: Uint8Array<ArrayBuffer>): void {
    this.columns.set(key, bands);
    if (this.columns.size > KEPT) this.columns.delete(this.columns.keys().next().value!);
  }
}
