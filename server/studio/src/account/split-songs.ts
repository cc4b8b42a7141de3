/**
 * Songs that are StemSplit jobs: made with a key, heard and taken away by the signed addresses that
 * the server tells. To the rest of the page they are songs like the others.
 */

import { AccountError, errorOf, fetched, own, random, type AccountApi, type JobItem, type JobStatus } from "./account-api";
import {
  ApiError, eventData, jsonOf, mixQuery, windowOf, windowQuery, type Job, type MixFormat, type PeaksAnswer,
} from "../api/api";
import { span } from "../base/format";
import type { Mix } from "../base/mix";
import { send } from "../api/sending";
import { madeOf, tracksOf, type Choice } from "./split-choice";
import { inOrder } from "../base/tracks";
import type { Window } from "../player/window-feed";

interface Listening {
  windowUrl: string;
  peaksUrl: string;
  eventsUrl: string;
  mixUrl: string;
  stemFileUrl: string | null;
  tracks: string[];
  listen: { finalFrames: number; totalFrames: number; tracks: Record<string, number> };
  queue: { position: number };
  etaSeconds: number | null;
}

interface SplitJob extends JobItem {
  input: JobItem["input"] & { warnings?: string[] };
  outputs: Record<string, { url: string }> | null;
  studio: Listening | null;
}

interface Ticket {
  uploadUrl: string;
  uploadKey: string;
  maxFileSizeBytes: number;
}

/** What makes a job of a file that the server has; asked for a second time, it is the same job. */
interface Order {
  uploadKey: string;
  once: string;
}

/** Milliseconds in which what the server signed is used: it holds for half an hour at the least. The
 * clocks of the two need not agree. */
const GOOD = 25 * 60_000;
const SIGNED = /\/?api\/v1\/downloads\/([^/]+)\//;
const RUNNING: JobStatus[] = ["PENDING", "PROCESSING"];
const STAGE = { PENDING: "pending", PROCESSING: "processing", COMPLETED: "completed", FAILED: "failed",
  EXPIRED: "completed" } as const;

export class SplitSongs {
  private readonly known = new Map<string, { job: SplitJob | null; at: number }>();
  /** Those of which nobody knows yet whether a job was made. */
  private readonly orders = new WeakMap<File, Order>();

  constructor(private readonly account: AccountApi) {}

  has(id: string): boolean {
    return this.known.has(id);
  }

  /** From now on this job is one of these. */
  adopt(id: string): void {
    if (!this.known.has(id)) this.known.set(id, { job: null, at: 0 });
  }

  /** The account has gone, and its addresses with it. */
  forget(): void {
    this.known.clear();
  }

  /** Its events tell how a running job stands, without the key and its limit. */
  async job(id: string, signal?: AbortSignal): Promise<Job> {
    const known = this.known.get(id)?.job;
    if (known?.studio && RUNNING.includes(known.status) && this.fresh(id)) {
      try {
        for await (const job of this.events(id, signal)) return job;
      } catch (error) {
        // An address that is not good any more, or a stream that was cut: the key asks.
        if (signal?.aborted || (error instanceof ApiError && !(error instanceof AccountError))) throw error;
      }
    }
    return this.ask(id, signal);
  }

  async *events(id: string, signal?: AbortSignal): AsyncGenerator<Job> {
    const answer = await this.signed(id, "eventsUrl", "", signal);
    for await (const data of eventData(answer.body!.pipeThrough(new TextDecoderStream()))) {
      yield this.learn(JSON.parse(data) as SplitJob);
    }
  }

  async window(
    id: string, tracks: string[], start: number, frames: number, signal: AbortSignal,
  ): Promise<Window> {
    const query = `&${windowQuery(tracks, start, frames)}`;
    return windowOf(await this.signed(id, "windowUrl", query, signal), start);
  }

  async peaks(id: string, since: number, signal: AbortSignal): Promise<PeaksAnswer> {
    const answer = await this.signed(id, "peaksUrl", `&zoom=both&since=${since}`, signal);
    return jsonOf<PeaksAnswer>(answer);
  }

  async remove(id: string): Promise<void> {
    await this.account.ask(`jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /** The address of a track's file; of all files and of the stem file, null where there is none. */
  trackUrl(id: string, track: string): string | null {
    const known = this.known.get(id)?.job;
    const url = track === "stems.stem.m4a" ? known?.studio?.stemFileUrl : known?.outputs?.[track]?.url;
    return url ? own(url) : null;
  }

  mixUrl(id: string, mix: Mix, format: MixFormat): string | null {
    const url = this.known.get(id)?.job?.studio?.mixUrl;
    return url ? `${own(url)}&${mixQuery(mix, format)}` : null;
  }

  /** Whether this is an address of a job's that may not hold any more. */
  stale(url: string): boolean {
    const id = SIGNED.exec(url)?.[1];
    return id !== undefined && !this.fresh(id);
  }

  /** The same address, signed anew. */
  async renew(url: string): Promise<string> {
    const old = below(url);
    const id = SIGNED.exec(url)![1]!;
    await this.ask(id);
    const { studio, outputs } = this.known.get(id)!.job!;
    const all = [studio?.mixUrl, studio?.stemFileUrl, ...Object.values(outputs ?? {}).map((file) => file.url)];
    const fresh = all.find((one) => one && below(one).pathname === old.pathname);
    if (!fresh) throw new ApiError(410, "This file has been removed.");
    for (const [name, value] of new URL(fresh).searchParams) old.searchParams.set(name, value);
    return own(old.href);
  }

  /** Sends a song and makes a job of it, by the API's own three steps; of one file, one job. */
  async upload(
    file: File, choice: Choice, sent: (bytes: number) => void, signal: AbortSignal,
  ): Promise<Job> {
    const before = this.orders.get(file);
    const order = before ?? await this.send(file, sent, signal);
    this.orders.set(file, order);
    signal.throwIfAborted();
    sent(file.size);
    try {
      const { id } = await this.create({ uploadKey: order.uploadKey, ...choice }, order.once, signal);
      this.orders.delete(file);
      return await this.begun(id, file, choice);
    } catch (error) {
      if (!(error instanceof AccountError) || error.code !== "UPLOAD_NOT_FOUND") throw error;
      this.orders.delete(file); // it lay there for too long
      if (before === undefined) throw error;
      return this.upload(file, choice, sent, signal);
    }
  }

  private async send(file: File, sent: (bytes: number) => void, signal: AbortSignal): Promise<Order> {
    const ticket = await this.account.post<Ticket>("upload", { filename: file.name }, random(), signal);
    if (file.size > ticket.maxFileSizeBytes) {
      const most = Math.floor(ticket.maxFileSizeBytes / 1_048_576);
      throw new ApiError(413, `This file is larger than ${most} MB, the most for a StemSplit job.`);
    }
    // The bytes say what they are; a browser's guess at it might be refused.
    const headers = { "content-type": "application/octet-stream" };
    const answer = await send("PUT", own(ticket.uploadUrl), file, headers, file.size, sent, signal);
    if (answer.status !== 200) throw errorOf(answer.status, answer.body, answer.wait);
    return { uploadKey: ticket.uploadKey, once: random() };
  }

  /** A job that was just made. It is there and paid, whatever is answered when it is asked for. */
  private async begun(id: string, file: File, choice: Choice): Promise<Job> {
    this.adopt(id);
    try {
      return await this.ask(id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { job_id: id, status: "processing", created_at: new Date().toISOString(), stages: [],
        outputs: {}, input: { file_name: file.name }, tracks: tracksOf(choice.outputType), made: madeOf(choice) };
    }
  }

  private async create(body: object, once: string, signal: AbortSignal): Promise<{ id: string }> {
    try {
      return await this.account.post<{ id: string }>("jobs", body, once, signal);
    } catch (error) {
      if (!(error instanceof AccountError) || error.code !== "INSUFFICIENT_CREDITS") throw error;
      const there = (await this.account.balance()).balanceSeconds;
      const message = `Not enough credits: this song takes ${span(error.requiredSeconds)}, `
        + `the account has ${span(there)}.`;
      throw new AccountError(error.status, message, 0, error.code, error.requiredSeconds, error.purchaseUrl);
    }
  }

  private async ask(id: string, signal?: AbortSignal): Promise<Job> {
    const init = signal ? { signal } : {};
    return this.learn(await this.account.json<SplitJob>(`jobs/${encodeURIComponent(id)}`, init));
  }

  private learn(job: SplitJob): Job {
    this.known.set(job.id, { job, at: Date.now() });
    return songOf(job);
  }

  /** Whether what is known of a job's addresses still holds. */
  private fresh(id: string): boolean {
    const age = Date.now() - (this.known.get(id)?.at ?? 0);
    return age >= 0 && age < GOOD;
  }

  /** What a signed address answers; one that does not hold any more is asked for anew. */
  private async signed(
    id: string, name: "windowUrl" | "peaksUrl" | "eventsUrl", query: string, signal?: AbortSignal,
  ): Promise<Response> {
    for (let again = !this.fresh(id); ; again = true) {
      if (again) await this.ask(id, signal);
      const url = this.known.get(id)?.job?.studio?.[name];
      if (!url) throw new ApiError(404, "There is nothing to hear of this job.");
      try {
        return await fetched(own(url) + query, { signal: signal ?? null });
      } catch (error) {
        if (again || !(error instanceof AccountError) || error.status !== 403) throw error;
      }
    }
  }
}

/** A signed address as it is seen from here: the server that signs knows no path that a proxy has added. */
function below(url: string): URL {
  return new URL(own(url), location.href);
}

/** A job in the page's own words. Throws where its files are gone. */
function songOf(job: SplitJob): Job {
  if (job.status === "EXPIRED") throw new ApiError(410, "This job has expired.");
  const { studio } = job;
  return {
    job_id: job.id,
    status: RUNNING.includes(job.status) ? "processing" : job.status === "FAILED" ? "failed" : "completed",
    created_at: job.createdAt,
    stages: [{ name: "audio_separation", status: STAGE[job.status], error: null }],
    outputs: Object.fromEntries(Object.entries(job.outputs ?? {}).map(([track, { url }]) => [track, own(url)])),
    progress: job.progress,
    queue: studio?.queue ?? null,
    eta_seconds: studio?.etaSeconds ?? null,
    input: { file_name: job.input.fileName, duration_seconds: job.input.durationSeconds,
      warnings: job.input.warnings ?? [] },
    error: job.errorMessage,
    made: madeOf(job.options),
    ...(studio && { tracks: inOrder(studio.tracks), listen: { final_frames: studio.listen.finalFrames,
      total_frames: studio.listen.totalFrames, tracks: studio.listen.tracks } }),
  };
}
