/** Sends songs to the server, one after the other: together they would only share the line. */

import { ApiError, type Api, type Job } from "../api/api";
import { full, pause } from "../api/waiting";

export interface UploadListener {
  progress(key: string, sent: number, since: number): void;
  /** The server takes no more until then, in Unix milliseconds. */
  waits(key: string, until: number): void;
  accepted(key: string, job: Job): void;
  refused(key: string, error: ApiError): void;
}

export class Uploads {
  private readonly waiting: { key: string; file: File }[] = [];
  private current: { key: string; abort: AbortController } | null = null;

  constructor(private readonly api: Api, private readonly listener: UploadListener) {
    window.addEventListener("beforeunload", (event) => {
      if (this.current !== null) event.preventDefault(); // leaving would cut it off
    });
  }

  add(key: string, file: File): void {
    this.waiting.push({ key, file });
    if (this.current === null) void this.run();
  }

  cancel(key: string): void {
    const place = this.waiting.findIndex((upload) => upload.key === key);
    if (place >= 0) this.waiting.splice(place, 1);
    if (this.current?.key === key) this.current.abort.abort();
  }

  private async run(): Promise<void> {
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      const { key, file } = next;
      this.current = { key, abort: new AbortController() };
      try {
        this.listener.accepted(key, await this.send(key, file, this.current.abort.signal));
      } catch (error) {
        if (error instanceof ApiError) this.listener.refused(key, await explained(error, file));
        else if (!(error instanceof DOMException)) throw error;
      }
    }
    this.current = null;
  }

  /** A server that is full refuses nobody: those that come behind would only be refused as well. */
  private async send(key: string, file: File, signal: AbortSignal): Promise<Job> {
    for (;;) {
      const since = Date.now();
      const sent = (bytes: number): void => this.listener.progress(key, bytes, since);
      sent(0);
      try {
        return await this.api.upload(file, sent, signal);
      } catch (error) {
        if (!(error instanceof ApiError) || !full(error)) throw error;
        this.listener.waits(key, Date.now() + 1000 * error.wait);
        await pause(1000 * error.wait, signal);
      }
    }
  }
}

/** A file that cannot be read looks to a browser like a connection that was lost. */
async function explained(error: ApiError, file: File): Promise<ApiError> {
  if (error.status !== 0) return error;
  try {
    await file.slice(0, 1).arrayBuffer();
    return error;
  } catch {
    return new ApiError(400, "This file cannot be read: it is a folder, or it has been moved or changed.");
  }
}
