/** Fetches the peaks of one song as they grow, at most once a second. */

import { ApiError, type PeaksAnswer } from "../api/api";
import { Peaks } from "./peaks";

const PAUSE = 1000; // milliseconds
const LONGEST_PAUSE = 8000; // after several failures in a row

export type FetchPeaks = (since: number, signal: AbortSignal) => Promise<PeaksAnswer>;

export class PeakFeed {
  readonly peaks = new Peaks();
  private abort = new AbortController();
  private finals: number[] = [];
  private total = 0;
  private busy = false;

  constructor(
    private readonly tracks: string[],
    private readonly fetchPeaks: FetchPeaks,
    private readonly changed: () => void,
  ) {}

  /** There may be more: so many frames of each track are final. */
  extend(finals: number[], total: number): void {
    this.total = total;
    if (finals.join() === this.finals.join() || !finals.some((final) => final > 0)) return;
    this.finals = finals;
    if (!this.busy && !this.abort.signal.aborted) void this.run();
  }

  /** Asks no more until it is extended again. */
  rest(): void {
    this.close();
    this.abort = new AbortController();
    this.finals = [];
    this.busy = false;
  }

  close(): void {
    this.abort.abort();
  }

  private async run(): Promise<void> {
    const { signal } = this.abort;
    this.busy = true;
    let failures = 0;
    for (let known: number[] = []; known !== this.finals; ) {
      known = this.finals;
      try {
        const begun = this.tracks.filter((_, at) => known[at]! > 0);
        const since = this.peaks.since(begun, this.total);
        this.peaks.merge(await this.fetchPeaks(since, signal));
        failures = 0;
        this.changed();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 404 || error.status === 410) break; // whoever plays it hears of that
        known = [];
        failures++;
      }
      const pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** Math.max(0, failures - 1));
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (signal.aborted) return; // another run may be under way
    }
    this.busy = false;
  }
}
