/** Fetches the peaks of one song as they grow, at most once a second. */

import { ApiError, type PeaksAnswer } from "./api";
import { Peaks } from "./peaks";

const PAUSE = 1000; // milliseconds
const LONGEST_PAUSE = 8000; // after several failures in a row

export type FetchPeaks = (since: number, signal: AbortSignal) => Promise<PeaksAnswer>;

export class PeakFeed {
  readonly peaks = new Peaks();
  private readonly abort = new AbortController();
  private wanted = "";
  private busy = false;

  constructor(
    private readonly tracks: string[],
    private readonly fetchPeaks: FetchPeaks,
    private readonly changed: () => void,
  ) {}

  /** There may be more: so many frames of each track are final. One that goes takes none of the others' along. */
  extend(finals: number[], total: number): void {
    const wanted = finals.join();
    if (wanted === this.wanted || !finals.some((final) => final > 0) || this.abort.signal.aborted) return;
    this.wanted = wanted;
    if (!this.busy) void this.run(total);
  }

  close(): void {
    this.abort.abort();
  }

  private async run(total: number): Promise<void> {
    this.busy = true;
    let failures = 0;
    for (let known = ""; known !== this.wanted && !this.abort.signal.aborted; ) {
      known = this.wanted;
      try {
        const since = this.peaks.since(this.tracks, total);
        this.peaks.merge(await this.fetchPeaks(since, this.abort.signal));
        failures = 0;
        this.changed();
      } catch (error) {
        if (this.abort.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 404 || error.status === 410) break; // whoever plays it hears of that
        known = "";
        failures++;
      }
      const pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** Math.max(0, failures - 1));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    this.busy = false;
  }
}
