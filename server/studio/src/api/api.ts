/** The server, as the page calls it. Every address is relative, so that a proxy may add a path. */

import { ByteSource } from "../player/byte-source";
import { megabytes } from "../base/format";
import { SAMPLE_RATE } from "../mixer/mixer";
import { decibelsOf, heardOf, type Mix } from "../base/mix";
import { send } from "./sending";
import type { Window } from "../player/window-feed";

export interface Stage {
  name: string;
  status: "pending" | "processing" | "completed" | "failed";
  error: string | null;
}

/** `GET /job/{id}`; what a stranger's server leaves out is optional. */
export interface Job {
  job_id: string;
  status: "processing" | "completed" | "failed";
  created_at: string;
  stages: Stage[];
  outputs: Record<string, string>;
  progress?: number;
  listen?: { final_frames: number; total_frames: number; tracks: string[] | Record<string, number> };
  queue?: { position: number } | null;
  eta_seconds?: number | null;
  /** `warnings`: what of the file was lost. */
  input?: { file_name?: string; duration_seconds?: number | null; warnings?: string[] } | null;
  tracks?: string[];
  error?: string | null;
  /** What was asked for, where there was a choice. */
  made?: string;
}

export interface Config {
  max_file_size_mb: number;
  supported_formats: string[];
  retention_hours?: number;
  demo?: boolean;
}

/** Minima and maxima of one track at one zoom, as pairs of int8 in base64. */
export interface PeakData {
  frames_per_peak: number;
  /** Where in the track the data begins. */
  first_frame?: number;
  data: string;
}

export interface PeaksAnswer {
  total_frames: number;
  tracks: Record<string, { final_frames: number; zooms: PeakData[] }>;
}

/** A file that can be saved: its address, and its name, "" where the server says it then. */
export interface FileHere {
  href: string;
  name: string;
}

export type MixFormat = "wav" | "flac" | "mp3";

const LONGEST_SILENCE = 45_000; // milliseconds

/** An answer that is an error; status 0 where none came. */
export class ApiError extends Error {
  constructor(readonly status: number, message: string, readonly wait = 0) {
    super(message);
  }
}

/** What came of it, nobody knows. */
export class Unanswered extends ApiError {
  constructor() {
    super(0, "All of it was sent, but the answer was lost: the server may be at work on it.");
  }
}

export class Api {
  /** A key, where the server wants one; it is kept in this tab alone. */
  key = "";

  config(): Promise<Config> {
    return this.json<Config>("config");
  }

  job(id: string, signal?: AbortSignal): Promise<Job> {
    return this.json<Job>(`job/${encodeURIComponent(id)}`, signal ? { signal } : {});
  }

  demo(): Promise<Job> {
    return this.json<Job>("demo", { method: "POST" });
  }

  async remove(id: string): Promise<void> {
    await this.ask(`job/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  peaks(id: string, since: number, signal: AbortSignal): Promise<PeaksAnswer> {
    const query = new URLSearchParams({ zoom: "both", since: String(since) });
    return this.json<PeaksAnswer>(`job/${encodeURIComponent(id)}/peaks?${query}`, { signal });
  }

  async window(
    id: string, tracks: string[], start: number, frames: number, signal: AbortSignal,
  ): Promise<Window> {
    const query = windowQuery(tracks, start, frames);
    return windowOf(await this.ask(`job/${encodeURIComponent(id)}/window?${query}`, { signal }), start);
  }

  /** The job at once, and again whenever it has changed, until it ends. */
  async *events(id: string, signal: AbortSignal): AsyncGenerator<Job> {
    const headers = { accept: "text/event-stream" };
    const answer = await this.ask(`job/${encodeURIComponent(id)}/events`, { signal, headers });
    for await (const data of eventData(answer.body!.pipeThrough(new TextDecoderStream()))) {
      yield JSON.parse(data) as Job;
    }
  }

  /** Sends a song; `sent` hears of each piece. `signal` takes it back. */
  async upload(file: File, sent: (bytes: number) => void, signal: AbortSignal): Promise<Job> {
    const form = new FormData();
    form.append("file", file);
    const headers: Record<string, string> = this.key ? { "x-api-key": carried(this.key) } : {};
    const { status, body, wait } = await send("POST", "process", form, headers, file.size, sent, signal);
    if (status !== 200) throw new ApiError(status, sentence(body, status), wait);
    return parsed<Job>(body);
  }

  trackUrl(id: string, track: string): string | null {
    return `download/${encodeURIComponent(id)}/${encodeURIComponent(track)}`;
  }

  /** The mix as it is set, its loop alone where there is one. */
  mixUrl(id: string, mix: Mix, format: MixFormat): string | null {
    return `job/${encodeURIComponent(id)}/mix?${mixQuery(mix, format)}`;
  }

  /** Whether a link to a file is not let in by itself. */
  indirect(_url: string): boolean {
    return this.key !== "";
  }

  /** A file with the key that a link cannot carry; `got` hears of each piece, with 0 for a size
   * that is not told. */
  async file(url: string, got: (bytes: number, total: number) => void): Promise<FileHere> {
    const { body, headers } = await this.ask(url);
    const total = Number(headers.get("content-length") ?? 0);
    let bytes = 0;
    const counted = body!.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, onward) {
        got(bytes += piece.byteLength, total);
        onward.enqueue(piece);
      },
    }));
    try {
      const type = headers.get("content-type") ?? "";
      const blob = await new Response(counted, { headers: { "content-type": type } }).blob();
      return { href: URL.createObjectURL(blob), name: nameIn(headers.get("content-disposition") ?? "") };
    } catch {
      throw new ApiError(0, `It was cut off after ${megabytes(bytes)}.`);
    }
  }

  private async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    return jsonOf<T>(await this.ask(path, init));
  }

  private async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.key) headers.set("x-api-key", carried(this.key));
    let answer: Response;
    try {
      answer = await fetch(path, { ...init, headers });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError(0, "The server does not answer.");
    }
    if (answer.ok) return answer;
    const wait = waitOf(answer.headers.get("retry-after"));
    throw new ApiError(answer.status, sentence(await errorText(answer), answer.status), wait);
  }
}

export function windowQuery(tracks: string[], start: number, frames: number): URLSearchParams {
  return new URLSearchParams({
    tracks: tracks.join(","),
    start: String(start / SAMPLE_RATE),
    seconds: String(frames / SAMPLE_RATE),
    format: "s16",
  });
}

export function windowOf(answer: Response, start: number): Window {
  return {
    start: Number(answer.headers.get("x-start-frame") ?? start),
    frames: Number(answer.headers.get("x-frames")),
    samples: new ByteSource(answer.body!),
  };
}

export function mixQuery(mix: Mix, format: MixFormat): URLSearchParams {
  const heard = heardOf(mix);
  const query = new URLSearchParams({ format });
  const silent = mix.tracks.filter((name) => !heard.includes(name));
  if (silent.length > 0) query.set("mute", silent.join(","));
  for (const name of heard) {
    query.set(`gain.${name}`, (mix.original ? 0 : decibelsOf(mix, name)).toFixed(1));
  }
  if (mix.loop !== null) {
    query.set("start", (mix.loop.start / SAMPLE_RATE).toFixed(6));
    query.set("end", (mix.loop.end / SAMPLE_RATE).toFixed(6));
  }
  return query;
}

/** A key that a header can carry. Throws ApiError of status 401: what it cannot carry is no key. */
export function carried(key: string): string {
  if (/^[\x21-\x7e]*$/.test(key)) return key;
  throw new ApiError(401, "This is not a key: it has a character that no key has.");
}

/** The file name of a Content-Disposition, as this server writes it. */
function nameIn(disposition: string): string {
  const coded = /filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1];
  try {
    if (coded !== undefined) return decodeURIComponent(coded);
  } catch {
    // not as it is meant: the plain one
  }
  return /filename="([^"]*)"/.exec(disposition)?.[1] ?? "";
}

/** Seconds that an answer tells to wait; 0 where it tells none, or a date. */
export function waitOf(retryAfter: string | null): number {
  return Number(retryAfter) || 0;
}

/** What an answer says. Throws ApiError of status 0 where it was cut off, or is not the server's. */
export async function jsonOf<T>(answer: Response): Promise<T> {
  let body: string;
  try {
    body = await answer.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server's answer was cut off.");
  }
  return parsed<T>(body);
}

function parsed<T>(body: string): T {
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError(0, "The answer is not the server's: something stands between it and this page.");
  }
}

/** The body of an answer that is an error; empty where it was cut off: its status says enough. */
export async function errorText(answer: Response): Promise<string> {
  try {
    return await answer.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    return "";
  }
}

/** The sentence of an error's body. */
function sentence(body: string, status: number): string {
  try {
    const { detail } = JSON.parse(body) as { detail?: unknown };
    if (typeof detail === "string") return detail;
  } catch {
    // a proxy's page
  }
  return `The server answered with status ${status}.`;
}

/**
 * The data of each event of a stream of server-sent events. Throws a TimeoutError where nothing has
 * come for so long that the connection must be dead: the server says something every 15 seconds.
 */
export async function* eventData(stream: ReadableStream<string>): AsyncGenerator<string> {
  let rest = "";
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await within(LONGEST_SILENCE, reader.read());
      if (done) return;
      const events = (rest + value.replaceAll("\r", "")).split("\n\n");
      rest = events.pop()!;
      for (const event of events) {
        const lines = event.split("\n").filter((line) => line.startsWith("data:"));
        if (lines.length > 0) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: number | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = window.setTimeout(() => reject(new DOMException("nothing has come", "TimeoutError")), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    window.clearTimeout(timer);
  }
}
