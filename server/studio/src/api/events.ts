/** Follows one job to its end: by server-sent events, by polling where there are none. */

import { ApiError, type Api, type Job } from "./api";

const POLL = 1500; // milliseconds
const LONGEST_WAIT = 15_000;

export interface JobListener {
  job(job: Job): void;
  gone(): void;
  locked(): void;
  away(): void;
}

export class JobEvents {
  private readonly abort = new AbortController();
  private streams = true;
  private streaming: AbortController | null = null;

  /** `live` says whether this job may hold a connection: a browser has six for a server. */
  constructor(
    private readonly api: Api,
    private readonly id: string,
    private readonly listener: JobListener,
    private readonly live: () => boolean,
  ) {}

  async run(): Promise<void> {
    let failures = 0;
    while (!this.abort.signal.aborted) {
      try {
        if (this.streams && this.live()) await this.stream();
        const job = await this.api.job(this.id, this.abort.signal);
        failures = 0;
        this.listener.job(job);
        if (job.status !== "processing") return;
        await this.pause(POLL);
      } catch (error) {
        if (this.abort.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 404 || error.status === 410) return this.listener.gone();
        if (error.status === 401 || error.status === 403) return this.listener.locked();
        if (error.status === 0 || error.status >= 500) this.listener.away();
        await this.pause(Math.max(error.wait * 1000, Math.min(LONGEST_WAIT, POLL * 2 ** failures++)));
      }
    }
  }

  close(): void {
    this.abort.abort();
    this.streaming?.abort();
  }

  /** Lets its connection go, if another job may hold one now; from here on it polls. */
  yield(): void {
    if (!this.live()) this.streaming?.abort();
  }

  /** Returns at the stream's end; whoever called asks for the job once more. */
  private async stream(): Promise<void> {
    this.streaming = new AbortController();
    try {
      for await (const job of this.api.events(this.id, this.streaming.signal)) {
        this.listener.job(job);
        if (job.status !== "processing") return;
      }
    } catch (error) {
      if (!(error instanceof ApiError)) return; // cut in the middle, or let go: the poll tells more
      if (error.status === 0) throw error;
      if (error.status !== 429) this.streams = false; // no such route, or a proxy that knows none
    }
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.abort.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
